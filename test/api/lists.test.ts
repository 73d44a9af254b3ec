import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';
import { type Api, aClient, anApi, type Client } from './client.ts';

let db: TestDatabase;
let api: Api;
let mine: Client;
let theirs: Client;
let ids: Record<string, string>;

/** One of everything for one tenant, as the engine would have made it. */
async function oneOfEverything(): Promise<{ tenantId: string; ids: Record<string, string> }> {
  const world = await aWorld(db, { companies: 2 });
  const { tenantId, campaignId, provider } = world;
  const companyId = world.companyIds[0] ?? '';
  const one = async (statement: ReturnType<ReturnType<typeof sql>>) =>
    (await db.query<{ id: string }>(statement))[0]?.id ?? '';
  const batchId = await one(sql(
    't',
  )`insert into research_batches (user_id, campaign_id, provider_id, kind, total)
    values (${tenantId}, ${campaignId}, ${provider.id}, 'company', 1) returning id`);
  const jobId = await one(sql('t')`
    insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind, retry_count)
    values (${tenantId}, ${batchId}, ${companyId}, ${campaignId}, ${provider.id}, 'company', 2) returning id`);
  const researchId = await one(sql(
    't',
  )`insert into company_research (user_id, campaign_id, company_id, kind, summary)
    values (${tenantId}, ${campaignId}, ${companyId}, 'company', 'They make anvils.') returning id`);
  const prospectId = await one(sql('t')`
    insert into prospect_research (user_id, campaign_id, company_id, company_research_id, natural_key, full_name)
    values (${tenantId}, ${campaignId}, ${companyId}, ${researchId}, 'email:a@b.example', 'Ada') returning id`);
  const contactId = await one(sql('t')`insert into contacts (user_id, campaign_id, full_name)
    values (${tenantId}, ${campaignId}, 'Ada') returning id`);
  return {
    tenantId,
    ids: {
      campaigns: campaignId,
      companies: companyId,
      contacts: contactId,
      providers: provider.id,
      batches: batchId,
      jobs: jobId,
      research: researchId,
      prospects: prospectId,
    },
  };
}

beforeAll(async () => {
  db = await testDatabase();
  api = anApi(db);
  const made = await oneOfEverything();
  ids = made.ids;
  mine = await aClient(db, api, { tenantId: made.tenantId });
  theirs = await aClient(db, api);
});
afterAll(() => db.close());

const things = [
  'campaigns',
  'companies',
  'contacts',
  'providers',
  'batches',
  'jobs',
  'research',
  'prospects',
];
const pathOf = (list: string) => `/v1/${list}?limit=5000${list === 'jobs' ? `&batchId=${ids.batches}` : ''}`;

test.each(things)('%s are listed and got by their tenant only', async (list) => {
  const listed = await mine.get(pathOf(list));
  expect(listed.status).toBe(200);
  expect(listed.body.data.map((row: { id: string }) => row.id)).toContain(ids[list]);
  const got = await mine.get(`/v1/${list}/${ids[list]}`);
  expect(got.status).toBe(200);
  expect(listed.body.data).toContainEqual(got.body);

  const foreign = await theirs.get(pathOf(list));
  if (list === 'jobs') expect(foreign.status).toBe(404);
  else expect(foreign.body).toEqual({ data: [], next: null });
  expect(await theirs.get(`/v1/${list}/${ids[list]}`)).toMatchObject({
    status: 404,
    body: { code: 'not_found' },
  });
});

test("another tenant's campaign cannot be filtered by, written to or researched", async () => {
  const campaignId = ids.campaigns;
  for (const list of ['companies', 'contacts', 'batches', 'research', 'prospects']) {
    expect((await theirs.get(`/v1/${list}?campaignId=${campaignId}`)).status).toBe(404);
  }
  expect((await theirs.post('/v1/companies/bulk', { campaignId, rows: [{ name: 'A' }] })).status).toBe(404);
  expect((await theirs.post('/v1/contacts/bulk', { campaignId, rows: [{ email: 'a@b.c' }] })).status).toBe(
    404,
  );
  const request = { provider: ids.providers, all: true };
  expect((await theirs.post(`/v1/campaigns/${campaignId}/research`, request)).status).toBe(404);
});

test("another tenant's cursor reads nothing of theirs", async () => {
  const next = (await mine.get('/v1/companies?limit=1')).body.next;
  expect((await theirs.get(`/v1/companies?limit=1&cursor=${next}`)).body.data).toEqual([]);
});

test.each(['asc', 'desc'])(
  'a walk %s over rows of the same microsecond returns each exactly once',
  async (order) => {
    const campaignId = await mine.campaign();
    await db.query(sql('t')`
    insert into contacts (user_id, campaign_id, full_name, created_at)
    select ${mine.tenantId}, ${campaignId}, 'P' || n, '2026-01-01T00:00:00.000001Z'::timestamptz + (n / 40) * interval '1 microsecond'
    from generate_series(1, 101) n`);
    const rows = await mine.walk(`/v1/contacts?campaignId=${campaignId}&limit=7&order=${order}`);
    expect(rows).toHaveLength(101);
    expect(new Set(rows.map((row) => row.id)).size).toBe(101);
    const keys = rows.map((row) => `${row.createdAt} ${row.id}`);
    expect(keys).toEqual(order === 'asc' ? [...keys].sort() : [...keys].sort().reverse());
  },
);

test.each(['asc', 'desc'])('a walk %s over jobs made at once returns each exactly once', async (order) => {
  const world = await aWorld(db, { companies: 25 });
  const client = await aClient(db, api, { tenantId: world.tenantId, scopes: ['read', 'research'] });
  const request = { provider: 'a-provider', all: true };
  const { body } = await client.post(`/v1/campaigns/${world.campaignId}/research`, request);
  for (const filter of ['', '&status=queued']) {
    const rows = await client.walk(`/v1/jobs?batchId=${body.batchId}&limit=4&order=${order}${filter}`);
    expect(new Set(rows.map((row) => row.companyId)).size).toBe(25);
    expect(rows).toHaveLength(25);
  }
});

test('active campaigns are listed unless archived ones are asked for', async () => {
  const client = await aClient(db, api);
  const active = await client.campaign('Active');
  const archived = await client.campaign('Archived');
  await db.query(sql('t')`update campaigns set archived = true, archived_at = now() where id = ${archived}`);
  const list = async (query: string) =>
    (await client.get(`/v1/campaigns${query}`)).body.data.map((row: { id: string }) => row.id);
  expect(await list('')).toEqual([active]);
  expect(await list('?archived=true')).toEqual([archived]);
  expect(await list('?archived=any&order=asc')).toEqual([active, archived]);
});

test('a page of large rows ends early with a next, and the walk still returns all', async () => {
  const campaignId = await mine.campaign();
  await db.query(sql('t')`
    insert into companies (user_id, campaign_id, name, natural_key, attributes)
    select ${mine.tenantId}, ${campaignId}, 'n' || n, 'name:n' || n, jsonb_build_object('text', repeat('x', 60000))
    from generate_series(1, 120) n`);
  const page = await mine.get(`/v1/companies?campaignId=${campaignId}&limit=5000`);
  expect(page.body.data.length).toBeLessThan(120);
  expect(page.body.next).not.toBeNull();
  expect(await mine.walk(`/v1/companies?campaignId=${campaignId}&limit=5000`)).toHaveLength(120);
});

test('a batch counts its jobs by status', async () => {
  expect((await mine.get(`/v1/batches/${ids.batches}`)).body).toMatchObject({
    status: 'open',
    total: 1,
    sealed: false,
    counts: { queued: 1, processing: 0, completed: 0, failed: 0, cancelled: 0 },
    retries: 2,
    finishedAt: null,
  });
});
