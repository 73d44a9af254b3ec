import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign } from '../support/factories.ts';
import { horizonPassed } from '../support/horizon.ts';
import { aClient, anApi, type Client, type Json } from './client.ts';

let db: TestDatabase;
let client: Client;
let campaignId: string;
let path: string;
beforeAll(async () => {
  db = await testDatabase();
  client = await aClient(db, anApi(db.asApi));
  campaignId = await aCampaign(db, client.tenantId);
  path = `/v1/contacts?campaignId=${campaignId}`;
  await db.query(sql('t')`
    insert into contacts (user_id, campaign_id, full_name, email, title, attributes, created_at, updated_at)
    select ${client.tenantId}, ${campaignId},
      (array['Zoe', 'adam', 'Ångström', 'Bea', '', '李'])[1 + n % 6],
      case when n % 3 > 0 then (array['B', 'a', 'ö'])[1 + n % 3] || n || '@x.example' end,
      (array['Head of Sales', 'HEAD of anything', 'Buyer', null])[1 + n % 4],
      jsonb_build_object('segment', (array['smb', 'large'])[1 + n % 2], 'size', n % 5),
      '2026-01-01T00:00:00.000001Z'::timestamptz + (n / 10) * interval '1 microsecond',
      '2026-02-01T00:00:00.000001Z'::timestamptz + (n % 7) * interval '1 microsecond'
    from generate_series(1, 200) n`);
});
afterAll(() => db.close());

const codePoints = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
const keys: Record<string, (row: Json) => string> = {
  created: (row) => row.createdAt,
  updated: (row) => row.updatedAt,
  name: (row) => row.fullName,
  email: (row) => row.email ?? '',
};

describe.each(Object.keys(keys))('by %s', (sort) => {
  test.each(['asc', 'desc'])(
    '%s, a walk returns every row once, in the order of the key, then of the id',
    async (order) => {
      const rows = await client.walk(`${path}&sort=${sort}&order=${order}&limit=7`);
      expect(new Set(rows.map((row) => row.id)).size).toBe(200);
      expect(rows).toHaveLength(200);
      const key = keys[sort] as (row: Json) => string;
      const sorted = [...rows].sort((a, b) => codePoints(key(a), key(b)) || codePoints(a.id, b.id));
      expect(rows.map((row) => row.id)).toEqual(
        (order === 'asc' ? sorted : sorted.reverse()).map((row) => row.id),
      );
    },
  );
});

test.each([
  ['hasEmail=false', (row: Json) => row.email === null],
  ['hasEmail=true', (row: Json) => row.email !== null],
  ['titlePrefix=head%20OF', (row: Json) => /^head of/i.test(row.title ?? '')],
  ['attribute=segment:smb', (row: Json) => row.attributes.segment === 'smb'],
  ['attribute=size:3', (row: Json) => row.attributes.size === 3],
  ['updatedSince=2026-02-01T00:00:00.000004Z', (row: Json) => row.updatedAt >= '2026-02-01T00:00:00.000004Z'],
  [
    'hasEmail=true&titlePrefix=buyer&attribute=segment:smb',
    (row: Json) => row.email !== null && row.title === 'Buyer' && row.attributes.segment === 'smb',
  ],
])('%s leaves just the rows it names, in any sort', async (filter, isWanted) => {
  const all = await client.walk(`${path}&limit=200`);
  const wanted = all
    .filter(isWanted)
    .map((row) => row.id)
    .sort();
  expect(wanted.length).toBeGreaterThan(0);
  expect(wanted.length).toBeLessThan(200);
  for (const sort of Object.keys(keys)) {
    const rows = await client.walk(`${path}&${filter}&sort=${sort}&limit=9`);
    expect([sort, rows.map((row) => row.id).sort()]).toEqual([sort, wanted]);
  }
});

test('a filter that finds little in many rows answers short pages that go on, and skips nothing', async () => {
  const many = await aCampaign(db, client.tenantId);
  await db.query(sql('t')`
    insert into contacts (user_id, campaign_id, full_name, attributes, created_at)
    select ${client.tenantId}, ${many}, 'P' || n, case when n % 15000 = 0 then '{"rare":"yes"}'::jsonb else '{}' end,
      '2026-01-01'::timestamptz + (n / 50) * interval '1 microsecond'
    from generate_series(1, 45000) n`);
  const url = `/v1/contacts?campaignId=${many}&attribute=rare:yes&limit=50`;
  const first = await client.get(url);
  expect(first.body.data).toHaveLength(2);
  expect(first.body.next).not.toBeNull();
  for (const order of ['asc', 'desc']) {
    const names = (await client.walk(`${url}&order=${order}`)).map((row) => row.fullName);
    expect(names.sort()).toEqual(['P15000', 'P30000', 'P45000']);
  }
  const none = await client.walk(`/v1/contacts?campaignId=${many}&attribute=rare:no&limit=50`);
  expect(none).toEqual([]);
});

test('fields are answered as asked, the id always; an unknown one is named with those there are', async () => {
  const { body } = await client.get(`${path}&fields=email,fullName&limit=1`);
  expect(Object.keys(body.data[0]).sort()).toEqual(['email', 'fullName', 'id']);
  const wrong = await client.get(`${path}&fields=emial`);
  expect(wrong.status).toBe(400);
  expect(wrong.body.errors).toMatchObject([{ path: 'fields', code: 'unknown_field' }]);
  expect(wrong.body.errors[0].message).toContain('email');
});

test('a cursor is tied to sort, order and filter, not to limit or fields', async () => {
  const { next } = (await client.get(`${path}&sort=name&limit=5`)).body;
  expect((await client.get(`${path}&sort=name&limit=9&fields=id&cursor=${next}`)).status).toBe(200);
  for (const other of ['', '&sort=email', '&sort=name&order=asc', '&sort=name&hasEmail=true']) {
    const reply = await client.get(`${path}${other}&cursor=${next}`);
    expect([other, reply.status, reply.body.code]).toEqual([other, 400, 'invalid_cursor']);
  }
});

test('the longest name of the widest characters fits in a cursor', async () => {
  const wide = await aCampaign(db, client.tenantId);
  const rows = ['\u{1F600}', '\u0001', '\\'].map((one) => ({
    fullName: `${one}`.repeat(one.length === 2 ? 250 : 500),
  }));
  await client.post('/v1/contacts/bulk', { campaignId: wide, rows: [...rows, { fullName: 'x' }] });
  expect(await client.walk(`/v1/contacts?campaignId=${wide}&sort=name&limit=1`)).toHaveLength(4);
});

test('with follow=true the first page says from where to follow, and the pages after it do not', async () => {
  const { changesAfter, next } = (await client.get(`${path}&follow=true&limit=5`)).body;
  const added = await client.post('/v1/contacts/bulk', {
    campaignId,
    rows: [{ fullName: 'New', email: 'new@x.example' }],
  });
  expect((await client.get(`${path}&follow=true&limit=5&cursor=${next}`)).body.changesAfter).toBeUndefined();
  await horizonPassed(db);
  const { body } = await client.get(`/v1/changes?after=${changesAfter}&entity=contact`);
  expect(body.data.flatMap((change: Json) => change.ids)).toEqual([added.body.results[0].id]);
  await db.query(sql('t')`delete from contacts where id = ${added.body.results[0].id}`);
  // Another test may load a million rows meanwhile.
}, 90_000);

describe('search', () => {
  test('finds by name, best first, in pages that return each once', async () => {
    const found = await client.walk(`${path}&search=adam&limit=10`);
    expect(found).toHaveLength(34);
    expect(new Set(found.map((row) => row.id)).size).toBe(34);
    expect(found.every((row) => row.fullName === 'adam')).toBe(true);
    const { body } = await client.get(`${path}&search=angstrom&fields=fullName&limit=1`);
    expect(body.data[0].fullName).toBe('Ångström');
  });

  test('goes with nothing but the campaign and the page', async () => {
    const reply = await client.get(`${path}&search=adam&sort=name&hasEmail=true`);
    expect(reply.status).toBe(400);
    expect(reply.body.errors.map((error: Json) => error.path).sort()).toEqual(['hasEmail', 'sort']);
  });

  test('for nothing, or only for what not to find, is a 400 that says so', async () => {
    for (const search of ['-adam', '%22%22', '%20']) {
      expect(await client.get(`${path}&search=${search}`)).toMatchObject({
        status: 400,
        body: { code: 'invalid_request' },
      });
    }
  });

  test('works on companies and on research, and below another campaign finds nothing', async () => {
    await client.post('/v1/companies/bulk', {
      campaignId,
      rows: [{ name: 'Quartz Hammer', domain: 'quartz.example' }],
    });
    const { body } = await client.get('/v1/companies?search=quartz');
    expect(body.data.map((row: Json) => row.domain)).toEqual(['quartz.example']);
    await db.query(sql('t')`
      insert into company_research (user_id, campaign_id, company_id, kind)
      values (${client.tenantId}, ${campaignId}, ${body.data[0].id}, 'company')`);
    expect((await client.get('/v1/research?search=hammer')).body.data).toMatchObject([
      { companyId: body.data[0].id },
    ]);
    const other = await aCampaign(db, client.tenantId);
    expect((await client.get(`/v1/companies?campaignId=${other}&search=quartz`)).body.data).toEqual([]);
  });
});
