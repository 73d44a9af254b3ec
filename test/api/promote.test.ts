import { randomUUID } from 'node:crypto';
import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';
import { type Api, aClient, anApi } from './client.ts';

let db: TestDatabase;
let api: Api;
beforeAll(async () => {
  db = await testDatabase();
  api = anApi(db);
});
afterAll(() => db.close());

async function aFind(people: { name: string; email: string | null }[]) {
  const world = await aWorld(db, { companies: 1 });
  const ids = await db.query<{ id: string }>(sql('test.people')`
    with found as (
      insert into company_research (user_id, campaign_id, company_id, kind)
      values (${world.tenantId}, ${world.campaignId}, ${world.companyIds[0]}, 'company') returning id
    )
    insert into prospect_research (user_id, campaign_id, company_id, company_research_id, natural_key, full_name, email,
      title, attributes)
    select ${world.tenantId}, ${world.campaignId}, ${world.companyIds[0]}, found.id, 'k' || place, name, email, 'CTO',
      '{"seen":1}'
    from found, jsonb_to_recordset(${JSON.stringify(people.map((each, place) => ({ ...each, place })))}::jsonb)
      as p (name text, email text, place int)
    order by place returning id`);
  const client = await aClient(db, api, { tenantId: world.tenantId });
  const promote = (prospectIds: string[]) =>
    client.post('/v1/prospects/promote', { campaignId: world.campaignId, prospectIds });
  return { ...world, ids: ids.map((row) => row.id), client, promote };
}

test('people with an email become contacts of their company, once; the others are named with the reason', async () => {
  const found = await aFind([
    { name: 'Ada', email: 'ada@acme.example' },
    { name: 'Nobody', email: null },
    { name: 'Eve', email: 'not an address' },
    { name: 'Ada again', email: 'ADA@acme.example' },
  ]);
  const stranger = randomUUID();
  const reply = await found.promote([...found.ids, stranger]);
  expect(reply).toMatchObject({
    status: 200,
    body: { counts: { created: 1, duplicate: 1, rejected: 3, updated: 0, unchanged: 0 } },
  });
  expect(reply.body.results).toMatchObject([
    { index: 0, status: 'created' },
    { index: 1, status: 'rejected', errors: [{ path: 'prospectIds[1].email', code: 'required' }] },
    { index: 2, status: 'rejected', errors: [{ path: 'prospectIds[2].email', code: 'invalid_email' }] },
    { index: 3, status: 'duplicate', duplicateOf: 0 },
    { index: 4, status: 'rejected', errors: [{ path: 'prospectIds[4]', code: 'not_found' }] },
  ]);
  expect((await found.client.get('/v1/contacts')).body.data).toMatchObject([
    {
      fullName: 'Ada',
      email: 'ada@acme.example',
      title: 'CTO',
      companyId: found.companyIds[0],
      attributes: { seen: 1 },
    },
  ]);
  expect((await found.promote(found.ids.slice(0, 1))).body.counts).toMatchObject({
    created: 0,
    unchanged: 1,
  });
});

test('a contact that was there stays as a person wrote it', async () => {
  const found = await aFind([{ name: 'Found', email: 'ada@acme.example' }]);
  const rows = [{ email: 'ada@acme.example', fullName: 'Written' }];
  await found.client.post('/v1/contacts/bulk', { campaignId: found.campaignId, rows });
  expect((await found.promote(found.ids)).body.counts).toMatchObject({ unchanged: 1 });
  expect((await found.client.get('/v1/contacts')).body.data).toMatchObject([
    { fullName: 'Written', title: null },
  ]);
});

test("another tenant's people, and an archived campaign, are refused", async () => {
  const mine = await aFind([{ name: 'Ada', email: 'ada@acme.example' }]);
  const other = await aFind([{ name: 'Eve', email: 'eve@acme.example' }]);
  expect((await mine.promote(other.ids)).body.results).toMatchObject([{ errors: [{ code: 'not_found' }] }]);
  await db.query(sql('test.archive')`
    update campaigns set archived = true, archived_at = now() where id = ${mine.campaignId}`);
  expect(await mine.promote(mine.ids)).toMatchObject({ status: 409, body: { code: 'campaign_archived' } });
});
