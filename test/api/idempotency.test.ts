import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aProvider, aWorld, someCompanies } from '../support/factories.ts';
import { type Api, aClient, anApi, type Client } from './client.ts';

let db: TestDatabase;
let api: Api;
let client: Client;
beforeAll(async () => {
  db = await testDatabase({ max: 8 });
  api = anApi(db);
  client = await aClient(db, api);
});
afterAll(() => db.close());
const count = async () => (await client.get('/v1/campaigns?limit=5000')).body.data.length;

test('the same key and body get the first answer again, and nothing is done twice', async () => {
  const before = await count();
  const first = await client.post('/v1/campaigns', { name: 'Once' }, { 'idempotency-key': 'k1' });
  const second = await client.post('/v1/campaigns', { name: 'Once' }, { 'idempotency-key': 'k1' });
  expect(first.status).toBe(201);
  expect(second.status).toBe(201);
  expect(second.body).toEqual(first.body);
  expect(second.headers.get('idempotency-replayed')).toBe('true');
  expect(await count()).toBe(before + 1);
});

test('repeats that come at the same time wait and get the same answer', async () => {
  const before = await count();
  const replies = await Promise.all(
    Array.from({ length: 6 }, () =>
      client.post('/v1/campaigns', { name: 'Race' }, { 'idempotency-key': 'k2' }),
    ),
  );
  expect(new Set(replies.map((reply) => reply.body.id)).size).toBe(1);
  expect(await count()).toBe(before + 1);
});

test('the same key with another body or path is a conflict', async () => {
  await client.post('/v1/campaigns', { name: 'First' }, { 'idempotency-key': 'k3' });
  expect(await client.post('/v1/campaigns', { name: 'Other' }, { 'idempotency-key': 'k3' })).toMatchObject({
    status: 409,
    body: { code: 'idempotency_key_reused' },
  });
});

test('a request that failed leaves its key free, and keys are of one tenant', async () => {
  const rows = [{ name: 'A' }];
  const unknown = { campaignId: '0198f0c2-6a44-7c11-9d1f-3f1b7a5e2c10', rows };
  const headers = { 'idempotency-key': 'k4' };
  expect((await client.post('/v1/companies/bulk', unknown, headers)).status).toBe(404);
  const campaignId = await client.campaign();
  expect((await client.post('/v1/companies/bulk', { campaignId, rows }, headers)).status).toBe(200);
  const other = await aClient(db, api);
  expect((await other.post('/v1/campaigns', { name: 'Mine' }, headers)).status).toBe(201);
});

test('a key that is too long or blank is a 400', async () => {
  const reply = await client.post('/v1/campaigns', { name: 'A' }, { 'idempotency-key': 'x'.repeat(256) });
  expect(reply).toMatchObject({ status: 400, body: { errors: [{ path: 'headers.idempotency-key' }] } });
});

test('a dispatch repeated with its key makes one batch', async () => {
  const world = await aWorld(db, { companies: 0 });
  await someCompanies(db, world.tenantId, world.campaignId, 3);
  const tenant = await aClient(db, api, { tenantId: world.tenantId });
  const dispatch = () =>
    tenant.post(
      `/v1/campaigns/${world.campaignId}/research`,
      { provider: 'a-provider', all: true },
      { 'idempotency-key': 'd1' },
    );
  const [first, second] = [await dispatch(), await dispatch()];
  expect(first.status).toBe(202);
  expect(second.body).toEqual(first.body);
  const jobs = await db.query(sql('t')`select id from research_jobs where user_id = ${world.tenantId}`);
  expect(jobs).toHaveLength(3);
});

const cut = `${'a'.repeat(99)}😀 and more`;
const unstorable: [string, 'companies' | 'contacts', unknown][] = [
  ['an unknown field with a NUL', 'companies', { name: 'A', 'x\0': 1 }],
  ['an unknown field with half a pair', 'companies', { name: 'A', '\ud800': 1 }],
  ['an unknown field that is cut within an emoji', 'companies', { name: 'A', [cut]: 1 }],
  ['a domain that is cut within an emoji', 'companies', { domain: cut }],
  ['an attribute of such a name', 'companies', { name: 'A', attributes: { [cut]: 'x\0' } }],
  ['an unknown field of a contact', 'contacts', { email: 'a@b.example', 'x\0': 1 }],
];
test.each(unstorable)('%s fails its row alone, and a repeat says so again', async (what, table, row) => {
  const campaignId = await client.campaign();
  const good = table === 'companies' ? { name: 'Good' } : { fullName: 'Good' };
  const body = { campaignId, rows: [good, row] };
  const headers = { 'idempotency-key': what.replaceAll(' ', '-') };
  const first = await client.post(`/v1/${table}/bulk`, body, headers);
  expect(first).toMatchObject({ status: 200, body: { counts: { created: 1, rejected: 1 } } });
  expect(first.body.results[1].errors[0].message.isWellFormed()).toBe(true);
  expect((await client.post(`/v1/${table}/bulk`, body, headers)).body).toEqual(first.body);
});

test('a dispatch by domains is taken with its key though one of them is cut within an emoji', async () => {
  const campaignId = await client.campaign();
  await aProvider(db, client.tenantId);
  await client.post('/v1/companies/bulk', { campaignId, rows: [{ domain: 'acme.example' }] });
  const body = { provider: 'a-provider', domains: ['acme.example', cut] };
  const headers = { 'idempotency-key': 'd2' };
  const first = await client.post(`/v1/campaigns/${campaignId}/research`, body, headers);
  expect(first).toMatchObject({ status: 202, body: { accepted: 1, rejected: [{ path: 'domains[1]' }] } });
});
