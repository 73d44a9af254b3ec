import { type TestDatabase, testDatabase } from '../support/database.ts';
import { type Api, aClient, anApi, type Client } from './client.ts';

let db: TestDatabase;
let api: Api;
let client: Client;
const url = 'https://n8n.example/webhook/research';
beforeAll(async () => {
  db = await testDatabase();
  api = anApi(db);
  client = await aClient(db, api);
});
afterAll(() => db.close());

test('a new provider gets defaults and a secret, which is shown once', async () => {
  const put = await client.put('/v1/providers/n8n', { kind: 'webhook', url });
  expect(put.status).toBe(201);
  expect(put.body).toMatchObject({
    name: 'n8n',
    batchSize: 10,
    leaseSeconds: 1200,
    maxRetries: 3,
    version: 1,
  });
  expect(put.body.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);

  const again = await client.put('/v1/providers/n8n', { kind: 'webhook', url });
  expect(again).toMatchObject({ status: 200, body: { id: put.body.id, version: 1 } });
  expect(again.body).not.toHaveProperty('secret');
  expect((await client.get('/v1/providers/n8n')).body).not.toHaveProperty('secret');
  expect((await client.get(`/v1/providers/${put.body.id}`)).body.name).toBe('n8n');
  expect((await client.get('/v1/providers')).body.data[0]).not.toHaveProperty('secret');
});

test('a put replaces: what is left out goes back to its default, the secret stays', async () => {
  await client.put('/v1/providers/two', {
    kind: 'webhook',
    url,
    batchSize: 5,
    concurrency: 3,
    ratePerSecond: 0.5,
  });
  const changed = await client.put('/v1/providers/two', { kind: 'webhook', url });
  expect(changed.body).toMatchObject({ batchSize: 10, concurrency: null, ratePerSecond: null, version: 2 });
  const secret = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
  const set = await client.put('/v1/providers/two', { kind: 'webhook', url, secret });
  expect(set).toMatchObject({ status: 200, body: { secret, version: 3 } });
});

test('a scheme is taken in any case; all else of the URL is kept as it was given', async () => {
  const put = await client.put('/v1/providers/loud', {
    kind: 'webhook',
    url: 'HTTPS://N8n.example/A?b=HTTPS:',
  });
  expect(put).toMatchObject({ status: 201, body: { url: 'https://N8n.example/A?b=HTTPS:' } });
});

test.each([
  ['another scheme', { url: 'ftp://x.example' }, 'url', 'invalid_url'],
  ['no URL', { url: 'n8n' }, 'url', 'invalid_url'],
  ['credentials in the URL', { url: 'https://me:pw@x.example' }, 'url', 'credentials_in_url'],
  ['a weak secret', { url, secret: 'whsec_YWJj' }, 'secret', 'invalid_secret'],
  ['a batch of none', { url, batchSize: 0 }, 'batchSize', 'too_small'],
  ['half a company', { url, batchSize: 1.5 }, 'batchSize', 'wrong_type'],
])('%s is a 400', async (_, draft, path, code) => {
  const reply = await client.put('/v1/providers/bad', { kind: 'webhook', ...draft });
  expect(reply).toMatchObject({ status: 400, body: { errors: [{ path, code }] } });
  expect((await client.get('/v1/providers/bad')).status).toBe(404);
});

test.each(['Upper', '-x', 'a%20b', '0198f0c2-6a44-7c11-9d1f-3f1b7a5e2c10'])(
  'the name %s is refused',
  async (name) => {
    expect((await client.put(`/v1/providers/${name}`, { kind: 'webhook', url })).status).toBe(400);
  },
);

test('a name with a NUL or of any bytes is a 4xx', async () => {
  for (const name of ['%00', '%ff', '%ED%A0%80', '..%2f']) {
    const { status } = await client.get(`/v1/providers/${name}`);
    expect([name, status >= 400 && status < 500]).toEqual([name, true]);
  }
});
