import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { type Api, aClient, anApi, type Client } from './client.ts';

let db: TestDatabase;
let api: Api;
let client: Client;
let id: string;
beforeAll(async () => {
  db = await testDatabase();
  api = anApi(db);
  client = await aClient(db, api);
});
beforeEach(async () => {
  id = await client.campaign();
});
afterAll(() => db.close());

test('a campaign shows how many companies and contacts it has, alone and in the list', async () => {
  await client.post('/v1/companies/bulk', { campaignId: id, rows: [{ name: 'A' }, { name: 'B' }] });
  await client.post('/v1/contacts/bulk', { campaignId: id, rows: [{ email: 'a@x.example' }] });
  const counts = { companiesCount: 2, contactsCount: 1 };
  expect((await client.get(`/v1/campaigns/${id}`)).body).toMatchObject({ ...counts, version: 1 });
  const { data } = (await client.get('/v1/campaigns')).body;
  expect(data.find((campaign: { id: string }) => campaign.id === id)).toMatchObject(counts);
});

test('a rename raises the version and keeps the counts', async () => {
  await client.post('/v1/companies/bulk', { campaignId: id, rows: [{ name: 'A' }] });
  const { status, body } = await client.send('PATCH', `/v1/campaigns/${id}`, { name: ' Winter ' });
  expect([status, body]).toEqual([
    200,
    expect.objectContaining({ name: 'Winter', version: 2, companiesCount: 1 }),
  ]);
  expect((await client.get(`/v1/campaigns/${id}`)).body).toEqual(body);
});

test('a rename with an Idempotency-Key is done once', async () => {
  const headers = { 'idempotency-key': `rename-${id}` };
  for (let time = 0; time < 2; time++) {
    const reply = await client.send('PATCH', `/v1/campaigns/${id}`, { name: 'Winter' }, headers);
    expect([reply.status, reply.body.version]).toEqual([200, 2]);
  }
});

test('a deleted campaign is gone at once, from everywhere, and the second time it is not found', async () => {
  await client.post('/v1/companies/bulk', { campaignId: id, rows: [{ name: 'A' }] });
  const { body: reply } = await client.get(`/v1/companies?campaignId=${id}`);
  const deleted = await client.send('DELETE', `/v1/campaigns/${id}`);
  expect([deleted.status, deleted.body]).toEqual([204, null]);
  const replies = await Promise.all([
    client.send('DELETE', `/v1/campaigns/${id}`),
    client.send('PATCH', `/v1/campaigns/${id}`, { name: 'Winter' }),
    client.get(`/v1/campaigns/${id}`),
    client.get(`/v1/companies?campaignId=${id}`),
    client.get(`/v1/companies/${reply.data[0].id}`),
    client.post('/v1/contacts/bulk', { campaignId: id, rows: [{ email: 'a@x.example' }] }),
    client.post(`/v1/campaigns/${id}/research`, { provider: 'p', kind: 'company', all: true }),
  ]);
  expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 404));
  const { data } = (await client.get('/v1/campaigns?archived=any')).body;
  expect(data.map((campaign: { id: string }) => campaign.id)).not.toContain(id);
  expect(await db.query(sql('t')`select id from campaigns where id = ${id}`)).toEqual([]);
});

test('deleting takes the scope write, and a campaign of the tenant', async () => {
  const reader = await aClient(db, api, { tenantId: client.tenantId, scopes: ['read'] });
  const stranger = await aClient(db, api);
  const path = `/v1/campaigns/${id}`;
  expect((await reader.send('DELETE', path)).status).toBe(403);
  expect((await reader.send('PATCH', path, { name: 'x' })).status).toBe(403);
  expect((await stranger.send('DELETE', path)).status).toBe(404);
  expect((await stranger.send('PATCH', path, { name: 'x' })).status).toBe(404);
  expect((await client.get(path)).body).toMatchObject({ name: 'Autumn', version: 1 });
});

test.each([[{}], [{ name: '' }], [{ name: 7 }], [{ name: 'x', archived: true }], [{ name: 'a\0' }]])(
  'a rename to %j is refused',
  async (body) => {
    expect((await client.send('PATCH', `/v1/campaigns/${id}`, body)).status).toBe(400);
  },
);
