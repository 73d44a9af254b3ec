import { type TestDatabase, testDatabase } from '../support/database.ts';
import { type Api, aClient, anApi, type Client } from './client.ts';

let db: TestDatabase;
let api: Api;
let client: Client;
let campaignId: string;
const bulk = (rows: unknown[]) => client.post('/v1/companies/bulk', { campaignId, rows });

beforeAll(async () => {
  db = await testDatabase();
  api = anApi(db);
  client = await aClient(db, api);
});
beforeEach(async () => {
  campaignId = await client.campaign();
});
afterAll(() => db.close());

test('rows are created, updated or left as they are, each with its result, in order', async () => {
  const first = await bulk([{ name: 'Acme', domain: 'https://WWW.Acme.example/about' }, { name: 'No Site' }]);
  expect(first.status).toBe(200);
  expect(first.body.results).toMatchObject([
    { index: 0, status: 'created', domain: 'acme.example' },
    { index: 1, status: 'created', domain: null },
  ]);

  const second = await bulk([
    { name: 'Acme', domain: 'acme.example' },
    { name: 'no site', attributes: { size: 3 } },
    { domain: 'new.example' },
  ]);
  expect(second.body.results).toMatchObject([
    { index: 0, status: 'unchanged', id: first.body.results[0].id },
    { index: 1, status: 'updated', id: first.body.results[1].id },
    { index: 2, status: 'created' },
  ]);
  expect(second.body.counts).toEqual({ created: 1, updated: 1, unchanged: 1, duplicate: 0, rejected: 0 });
  const named = await client.get(`/v1/companies/${second.body.results[2].id}`);
  expect(named.body).toMatchObject({ name: 'new.example', domain: 'new.example', version: 1, campaignId });
});

test('an absent field is kept, attributes are replaced, and only a change raises the version', async () => {
  const [{ id }] = (await bulk([{ name: 'Acme', domain: 'acme.example', attributes: { a: 1, b: 2 } }])).body
    .results;
  await bulk([{ domain: 'acme.example' }]);
  expect((await client.get(`/v1/companies/${id}`)).body).toMatchObject({
    name: 'Acme',
    attributes: { a: 1, b: 2 },
    version: 1,
  });
  await bulk([{ domain: 'acme.example', attributes: { c: 3 } }]);
  const company = (await client.get(`/v1/companies/${id}`)).body;
  expect(company).toMatchObject({ name: 'Acme', attributes: { c: 3 }, version: 2 });
  expect(company.updatedAt > company.createdAt).toBe(true);
  expect(company.createdAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
});

test('attributes are kept under every name there is, and are an object', async () => {
  const reply = await client.post(
    '/v1/companies/bulk',
    `{"campaignId":"${campaignId}","rows":[
      {"name":"A","attributes":{"__proto__":{"a":1},"constructor":2}},{"name":"B","attributes":[1]},{"name":"C","attributes":null}]}`,
  );
  expect(reply.body.results).toMatchObject([
    { status: 'created' },
    { status: 'rejected', errors: [{ path: 'rows[1].attributes', code: 'wrong_type' }] },
    { status: 'created' },
  ]);
  const response = await client.get(`/v1/companies/${reply.body.results[0].id}`);
  expect(JSON.stringify(response.body.attributes)).toBe('{"__proto__":{"a":1},"constructor":2}');
});

test('a double within the request is reported with the row it repeats', async () => {
  const { body } = await bulk([{ domain: 'twice.example' }, { domain: 'http://www.twice.example' }]);
  expect(body.results[1]).toMatchObject({
    index: 1,
    status: 'duplicate',
    duplicateOf: 0,
    id: body.results[0].id,
  });
});

test.each(['g.page', 'bit.ly', 'pinterest.com', 'threads.com', 'business.facebook.com', 'google.com'])(
  'companies with their pages on %s are several, and one kept under the host alone stays as it is',
  async (host) => {
    const [kept] = (await bulk([{ name: 'Kept', domain: host }])).body.results;
    const below = host === 'google.com' ? `${host}/maps/place` : host;
    const pages = await bulk([
      { name: 'A', domain: `https://${below}/a` },
      { name: 'B', domain: `https://${below}/b` },
      { name: 'Kept', domain: host },
    ]);
    expect(pages.body.counts).toMatchObject({ created: 2, unchanged: 1 });
    expect(pages.body.results[2]).toMatchObject({ id: kept.id, domain: host });
  },
);

test.each([
  ['an unknown field', { name: 'A', nme: 'B' }, 'rows[1].nme', 'unknown_field'],
  ['a wrong type', { name: 7 }, 'rows[1].name', 'wrong_type'],
  ['not an object', 'Acme', 'rows[1]', 'wrong_type'],
  ['null', null, 'rows[1]', 'wrong_type'],
  ['nothing to go by', { attributes: {} }, 'rows[1].name', 'required'],
  ['no domain at all', { domain: 'not a domain!' }, 'rows[1].domain', 'invalid_domain'],
  ['a NUL', { name: 'A\0' }, 'rows[1].name', 'unstorable_text'],
  ['half a surrogate pair', { name: 'A\ud800' }, 'rows[1].name', 'unstorable_text'],
  [
    'a NUL in attributes',
    { name: 'A', attributes: { a: ['\0'] } },
    'rows[1].attributes.a[0]',
    'unstorable_text',
  ],
  ['too long a name', { name: 'x'.repeat(501) }, 'rows[1].name', 'too_long'],
  [
    'attributes beyond 64 KiB',
    { name: 'A', attributes: { a: 'x'.repeat(66_000) } },
    'rows[1].attributes',
    'too_large',
  ],
])('a row with %s fails alone, with its path and code', async (_, row, path, code) => {
  const { status, body } = await bulk([{ domain: 'before.example' }, row, { domain: 'after.example' }]);
  expect(status).toBe(200);
  expect(body.results.map((result: { status: string }) => result.status)).toEqual([
    'created',
    'rejected',
    'created',
  ]);
  expect(body.results[1].errors[0]).toMatchObject({ path, code });
});

test('a campaign that is unknown or archived takes no companies', async () => {
  const unknown = { campaignId: '0198f0c2-6a44-7c11-9d1f-3f1b7a5e2c10', rows: [{ name: 'A' }] };
  expect(await client.post('/v1/companies/bulk', unknown)).toMatchObject({
    status: 404,
    body: { code: 'not_found' },
  });
  await db.query({
    statement: 'archive',
    text: 'update campaigns set archived = true, archived_at = now() where id = $1',
    values: [campaignId],
  });
  expect(await bulk([{ name: 'A' }])).toMatchObject({ status: 409, body: { code: 'campaign_archived' } });
});

const thousand = (n: number) =>
  Array.from({ length: 1000 }, (_, at) => ({ domain: `c${at}.example`, attributes: { n } }));

test('a thousand rows are one upsert statement', async () => {
  api.statements.length = 0;
  expect((await bulk(thousand(0))).body.counts.created).toBe(1000);
  expect(api.statements).toEqual(['keys.authenticate', 'campaigns.hold', 'companies.upsert']);
});

test('two calls with the same rows in opposite orders at once do not deadlock, and one of them updates each', async () => {
  await bulk(thousand(0));
  for (let round = 1; round <= 10; round++) {
    const rows = thousand(round);
    const replies = await Promise.all([bulk(rows), bulk([...rows].reverse())]);
    expect(replies.map((reply) => reply.status)).toEqual([200, 200]);
    expect(replies.reduce((sum, reply) => sum + reply.body.counts.updated, 0)).toBe(1000);
  }
});
