import { type TestDatabase, testDatabase } from '../support/database.ts';
import { type Api, aClient, anApi, type Client } from './client.ts';

let db: TestDatabase;
let api: Api;
let client: Client;
let campaignId: string;
const bulk = (rows: unknown[]) => client.post('/v1/contacts/bulk', { campaignId, rows });

beforeAll(async () => {
  db = await testDatabase();
  api = anApi(db);
  client = await aClient(db, api);
});
beforeEach(async () => {
  campaignId = await client.campaign();
});
afterAll(() => db.close());

test('the email is the key whatever its case; without one a contact is always created', async () => {
  const { body } = await bulk([
    { email: 'Ada@Acme.example', fullName: 'Ada' },
    { fullName: 'Nobody' },
    { email: 'ada@acme.example' },
    { fullName: 'Nobody' },
  ]);
  expect(body.results).toMatchObject([
    { index: 0, status: 'created' },
    { index: 1, status: 'created' },
    { index: 2, status: 'duplicate', duplicateOf: 0, id: body.results[0].id },
    { index: 3, status: 'created' },
  ]);
  expect(body.results[1].id).not.toBe(body.results[3].id);
  const again = await bulk([{ email: 'ADA@acme.example', fullName: 'Ada' }]);
  expect(again.body.results).toEqual([{ index: 0, status: 'unchanged', id: body.results[0].id }]);
});

test('an absent field is kept, null clears it', async () => {
  const row = { email: 'a@b.example', fullName: 'A', title: 'CEO', phone: '1', attributes: { x: 1 } };
  const [{ id }] = (await bulk([row])).body.results;
  expect((await bulk([{ email: 'a@b.example', title: null }])).body.results).toEqual([
    { index: 0, status: 'updated', id },
  ]);
  expect((await client.get(`/v1/contacts/${id}`)).body).toMatchObject({
    fullName: 'A',
    title: null,
    phone: '1',
    attributes: { x: 1 },
    version: 2,
  });
});

test('the company is found by id or domain within the campaign; an unknown one fails its row', async () => {
  const companies = { campaignId, rows: [{ domain: 'acme.example' }] };
  const companyId = (await client.post('/v1/companies/bulk', companies)).body.results[0].id;
  const elsewhere = { campaignId: await client.campaign('Other'), rows: [{ domain: 'else.example' }] };
  const foreignId = (await client.post('/v1/companies/bulk', elsewhere)).body.results[0].id;
  const { body } = await bulk([
    { email: '1@x.example', companyDomain: 'https://www.ACME.example' },
    { email: '2@x.example', companyId },
    { email: '3@x.example', companyDomain: 'unknown.example' },
    { email: '4@x.example', companyId: foreignId },
    { email: '5@x.example', companyId, companyDomain: 'acme.example' },
  ]);
  expect(body.results.map((result: { status: string }) => result.status)).toEqual([
    'created',
    'created',
    'rejected',
    'rejected',
    'rejected',
  ]);
  expect(body.results.slice(2).map((result: { errors: unknown[] }) => result.errors[0])).toMatchObject([
    { path: 'rows[2].companyDomain', code: 'unknown_company' },
    { path: 'rows[3].companyId', code: 'unknown_company' },
    { path: 'rows[4].companyDomain', code: 'ambiguous' },
  ]);
  expect((await client.get(`/v1/contacts?companyId=${companyId}`)).body.data).toHaveLength(2);
});

test.each([
  ['an email that is none', { email: 'ada' }, 'rows[0].email', 'invalid_email'],
  ['a NUL in the title', { email: 'a@b.example', title: 'x\0' }, 'rows[0].title', 'unstorable_text'],
  ['nothing to reach anyone by', { title: 'CEO' }, 'rows[0]', 'required'],
  ['an unknown field', { email: 'a@b.example', mail: 'x' }, 'rows[0].mail', 'unknown_field'],
])('a row with %s is rejected with its path and code', async (_, row, path, code) => {
  const { status, body } = await bulk([row, { email: 'fine@b.example' }]);
  expect(status).toBe(200);
  expect(body.results[0].errors[0]).toMatchObject({ path, code });
  expect(body.results[1].status).toBe('created');
});

test('a thousand contacts are one upsert statement', async () => {
  const rows = Array.from({ length: 1000 }, (_, n) => ({ email: `p${n}@x.example`, fullName: `P ${n}` }));
  api.statements.length = 0;
  expect((await bulk(rows)).body.counts.created).toBe(1000);
  expect(api.statements).toEqual(['keys.authenticate', 'campaigns.hold', 'contacts.upsert']);
  expect((await bulk(rows)).body.counts.unchanged).toBe(1000);
});
