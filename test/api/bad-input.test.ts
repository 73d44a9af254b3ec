import { connect } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { type Api, aClient, anApi, type Client } from './client.ts';

let db: TestDatabase;
let api: Api;
let client: Client;
let campaignId: string;
beforeAll(async () => {
  db = await testDatabase();
  api = anApi(db);
  client = await aClient(db, api);
  campaignId = await client.campaign();
});
afterAll(() => db.close());

const rows = (count: number) => Array.from({ length: count }, () => ({ name: 'A' }));

test.each([
  ['an unknown body field', '/v1/campaigns', { name: 'A', colour: 'red' }, 'colour', 'unknown_field'],
  ['a missing field', '/v1/campaigns', {}, 'name', 'required'],
  ['a wrong type', '/v1/campaigns', { name: 1 }, 'name', 'wrong_type'],
  ['a blank name', '/v1/campaigns', { name: '  ' }, 'name', 'too_short'],
  ['a NUL', '/v1/campaigns', { name: 'a\0' }, 'name', 'unstorable_text'],
  ['an array for a body', '/v1/campaigns', [], '', 'wrong_type'],
  ['too many rows', '/v1/companies/bulk', { campaignId: 'ID', rows: rows(1001) }, 'rows', 'too_many_rows'],
  ['no rows', '/v1/companies/bulk', { campaignId: 'ID', rows: [] }, 'rows', 'too_few_rows'],
  [
    'a campaign id that is none',
    '/v1/companies/bulk',
    { campaignId: '7', rows: rows(1) },
    'campaignId',
    'invalid_format',
  ],
  ['neither ids nor domains nor all', '/v1/campaigns/ID/research', { provider: 'p' }, '', 'ambiguous'],
  [
    'a time that is none',
    '/v1/campaigns/ID/research',
    { provider: 'p', all: true, runAt: 'soon' },
    'runAt',
    'invalid_format',
  ],
])('%s is a 400 that names the field and changes nothing', async (_, path, body, field, code) => {
  const text = JSON.stringify(body).replaceAll('"ID"', `"${campaignId}"`);
  const before = await db.query(
    sql('t')`select id, version from campaigns union all select id, version from companies`,
  );
  const reply = await client.post(path.replace('ID', campaignId), text);
  expect(reply.status).toBe(400);
  expect(reply.headers.get('content-type')).toBe('application/problem+json');
  expect(reply.body).toMatchObject({ code: 'invalid_request', status: 400, errors: [{ path: field, code }] });
  expect(reply.body.requestId).toBe(reply.headers.get('x-request-id'));
  const after = await db.query(
    sql('t')`select id, version from campaigns union all select id, version from companies`,
  );
  expect(after).toEqual(before);
});

test.each([
  ['/v1/contacts?limit=0', 'limit', 'too_small'],
  ['/v1/contacts?limit=5001', 'limit', 'too_large'],
  ['/v1/contacts?limit=many', 'limit', 'wrong_type'],
  ['/v1/contacts?limit=1&limit=2', 'limit', 'wrong_type'],
  ['/v1/contacts?page=2', 'page', 'unknown_field'],
  ['/v1/contacts?order=up', 'order', 'not_allowed'],
  ['/v1/contacts?campaignId=x', 'campaignId', 'invalid_format'],
  ['/v1/jobs', 'batchId', 'required'],
  ['/v1/contacts/x', 'id', 'invalid_format'],
  ['/v1/contacts?attribute=segment', 'attribute', 'invalid_format'],
  ['/v1/contacts?attribute=:smb', 'attribute', 'invalid_format'],
  ['/v1/contacts?updatedSince=2026-01-01T00:00:00%2B16:00', 'updatedSince', 'invalid'],
  ['/v1/companies?updatedSince=2026-01-01T00:00:00-23:59', 'updatedSince', 'invalid'],
  [`/v1/research?updatedSince=2026-01-01T00:00:00.${'1'.repeat(200)}Z`, 'updatedSince', 'invalid'],
])('GET %s is a 400 about %s: %s', async (path, field, code) => {
  const reply = await client.get(path);
  expect(reply.status).toBe(400);
  expect(reply.body.errors[0]).toMatchObject({ path: field, code });
});

test('a cursor of another filter, order or list, or none at all, is a 400 invalid_cursor', async () => {
  await client.campaign('Second');
  const next = (await client.get('/v1/campaigns?limit=1')).body.next;
  expect((await client.get(`/v1/campaigns?limit=1&cursor=${next}`)).status).toBe(200);
  for (const path of [
    `/v1/campaigns?limit=1&order=asc&cursor=${next}`,
    `/v1/campaigns?limit=1&archived=any&cursor=${next}`,
    `/v1/companies?cursor=${next}`,
    '/v1/campaigns?cursor=garbage',
  ]) {
    expect(await client.get(path)).toMatchObject({ status: 400, body: { code: 'invalid_cursor' } });
  }
});

test('broken JSON, another content type and too large a body say so', async () => {
  expect(await client.post('/v1/campaigns', '{"name":')).toMatchObject({
    status: 400,
    body: { code: 'invalid_json' },
  });
  const plain = { 'content-type': 'text/plain' };
  expect(await client.post('/v1/campaigns', 'name=A', plain)).toMatchObject({
    status: 415,
    body: { code: 'unsupported_media_type' },
  });
  expect(await client.post('/v1/campaigns', JSON.stringify({ name: 'x'.repeat(1_100_000) }))).toMatchObject({
    status: 413,
    body: { code: 'payload_too_large' },
  });
  const response = await api.app.request('/v1/campaigns', {
    method: 'POST',
    headers: { authorization: `Bearer ${client.key}`, 'content-type': 'application/json' },
    body: new Uint8Array([0x7b, 0xff, 0x7d]),
  });
  expect(response.status).toBe(400);
});

test('JSON nested a hundred thousand levels deep fails its row, not the service', async () => {
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  const reply = await client.post(
    '/v1/companies/bulk',
    `{"campaignId":"${campaignId}","rows":[{"name":"Deep","attributes":{"a":${deep}}}]}`,
  );
  expect(reply).toMatchObject({ status: 200, body: { results: [{ errors: [{ code: 'too_deep' }] }] } });
});

test('an unknown path is a 404 and a known one with another method a 405 that says which', async () => {
  expect(await client.get('/v1/nothing')).toMatchObject({ status: 404, body: { code: 'not_found' } });
  const reply = await client.send('DELETE', '/v1/campaigns');
  expect(reply).toMatchObject({ status: 405, body: { code: 'method_not_allowed' } });
  expect(reply.headers.get('allow')?.split(', ').sort()).toEqual(['GET', 'POST']);
  expect(await client.get('/v1/campaigns/')).toMatchObject({ status: 404, body: { code: 'not_found' } });
});

test('what a rule over several fields says is told as it is', async () => {
  const reply = await client.send('PATCH', `/v1/campaigns/${campaignId}`, {});
  expect(reply).toMatchObject({
    status: 400,
    body: { errors: [{ code: 'required', message: 'give a name, or closed' }] },
  });
});

test.each(['2026-01-01T00:00:00.123456789Z', '2026-01-01T00:00:00+14:00', '2026-01-01T00:00:00-12:00'])(
  'updatedSince takes %s',
  async (time) => {
    expect((await client.get(`/v1/contacts?updatedSince=${encodeURIComponent(time)}`)).status).toBe(200);
  },
);

test('an attribute without a value can be asked for', async () => {
  expect((await client.get('/v1/contacts?attribute=a:')).status).toBe(200);
});

test.each([
  ['no key', {}],
  ['another scheme', { authorization: 'Basic abc' }],
  ['an unknown key', { authorization: `Bearer afl_${'x'.repeat(43)}` }],
  ['a key that is no key', { authorization: 'Bearer \u00e9' }],
])('%s is a 401', async (_, headers) => {
  const response = await api.app.request('/v1/me', { headers });
  expect(response.status).toBe(401);
  expect(response.headers.get('www-authenticate')).toBe('Bearer');
  expect(await response.json()).toMatchObject({ code: 'unauthorized' });
});

test('a revoked key is a 401, a key without the scope a 403', async () => {
  const reader = await aClient(db, api, { scopes: ['read'], tenantId: client.tenantId });
  expect(await reader.post('/v1/campaigns', { name: 'A' })).toMatchObject({
    status: 403,
    body: { code: 'forbidden' },
  });
  expect((await reader.get('/v1/me')).body).toMatchObject({
    tenantId: client.tenantId,
    scopes: ['read'],
    product: 'aim-for-leads',
  });
  await db.query(
    sql('t')`update api_keys set revoked_at = now() where id = ${(await reader.get('/v1/me')).body.keyId}`,
  );
  expect((await reader.get('/v1/me')).status).toBe(401);
});

test('a database that is away is a 503, a fault of ours a 500 without details', async () => {
  const away = connect('postgres://nobody@127.0.0.1:1/none');
  const response = await anApi(away).app.request('/health');
  expect(response.status).toBe(503);
  expect(await response.json()).toMatchObject({ code: 'unavailable' });
  await away.close();

  const broken = anApi({
    query: () => Promise.reject(new Error('column "secret" of ada@acme.example')),
    transaction: () => Promise.reject(new Error('never')),
  });
  const fault = await broken.app.request('/health');
  expect(fault.status).toBe(500);
  expect(await fault.text()).not.toContain('secret');
  expect(JSON.stringify(broken.logged)).not.toContain('ada@acme.example');
});

test('the log has ids and patterns, never keys, bodies or addresses', async () => {
  api.logged.length = 0;
  await client.post('/v1/contacts/bulk', { campaignId, rows: [{ email: 'ada@acme.example' }] });
  await client.get('/v1/providers/secret-name');
  expect(api.logged.map(({ event, fields }) => [event, fields.method, fields.route, fields.status])).toEqual([
    ['api.request', 'POST', '/v1/contacts/bulk', 200],
    ['api.request', 'GET', '/v1/providers/:name', 404],
  ]);
  expect(api.logged[0]?.fields).toMatchObject({ tenantId: client.tenantId, requestId: expect.any(String) });
  expect(JSON.stringify(api.logged)).not.toMatch(/ada@|secret-name|afl_/);
});
