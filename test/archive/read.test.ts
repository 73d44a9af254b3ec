import { csvCell } from '../../core/archive/read/export.ts';
import { sql } from '../../core/db/sql.ts';
import { readCompanies } from '../../core/import/csv.ts';
import { type Api, aClient, anApi, type Client, type Json } from '../api/client.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { anArchive, archive } from './archived.ts';

const t = sql('t');
let db: TestDatabase;
let api: Api;
let client: Client;
let other: Client;
beforeAll(async () => {
  db = await testDatabase();
  api = anApi(db);
  client = await aClient(db, api);
  other = await aClient(db, api);
});
afterAll(() => db.close());

test('archived contacts and companies are shown as the live ones are, page by page, each once', async () => {
  const { campaignId } = await anArchive(db, client.tenantId, { companies: 2300 });
  const live = await anArchive(db, client.tenantId, { companies: 1 });
  expect((await client.get(`/v1/archives/${campaignId}`)).body).toMatchObject({
    state: 'archived',
    rowsMoved: 9200,
  });
  const contacts = await client.walk(`/v1/archives/${campaignId}/contacts?limit=700`);
  expect(new Set(contacts.map((contact) => contact.id)).size).toBe(2300);
  expect(contacts).toHaveLength(2300);
  const companies = await client.walk(`/v1/archives/${campaignId}/companies?limit=1000`);
  expect(companies).toHaveLength(2300);
  // The very shape of a live one, µs and numbers included.
  const [one] = await client.walk(`/v1/archives/${live.campaignId}/contacts?limit=5`);
  await db.query(t`insert into campaigns (user_id, name) values (${client.tenantId}, 'x')`);
  expect(one).toEqual({
    id: expect.any(String),
    campaignId: live.campaignId,
    companyId: live.companyIds[0],
    fullName: 'Person 1',
    email: 'Person-1@acme.example',
    title: null,
    phone: null,
    linkedin: null,
    attributes: { n: 1, big: expect.any(Number) },
    version: 1,
    createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
    updatedAt: expect.stringMatching(/\.\d{6}Z$/),
  });
  // There are none among the live ones, which is told and not shown as an empty list.
  expect(await client.get(`/v1/contacts?campaignId=${campaignId}`)).toMatchObject({
    status: 409,
    body: { code: 'campaign_archived' },
  });
});

test('a cursor of another archive, of another table, or made up, is refused', async () => {
  const [one, two] = [await anArchive(db, client.tenantId), await anArchive(db, client.tenantId)];
  const { next } = (await client.get(`/v1/archives/${one.campaignId}/contacts?limit=1`)).body;
  for (const path of [
    `/v1/archives/${two.campaignId}/contacts?cursor=${next}`,
    `/v1/archives/${one.campaignId}/companies?cursor=${next}`,
    `/v1/archives/${one.campaignId}/contacts?cursor=abc`,
    `/v1/archives/search?email=a@b.example&cursor=${next}`,
  ]) {
    const reply = await client.get(path);
    expect([path, reply.status, reply.body.code]).toEqual([path, 400, 'invalid_cursor']);
  }
});

test('an email is found in whatever case, in contacts and prospects, over all archives, and nobody else finds it', async () => {
  const first = await anArchive(db, client.tenantId, { mark: 'sought', name: 'First' });
  const second = await anArchive(db, client.tenantId, { mark: 'sought', name: 'Second' });
  await anArchive(db, other.tenantId, { mark: 'sought', name: 'Hidden' });
  const hits = (await client.get('/v1/archives/search?email=PERSON-2@Sought.example')).body;
  expect(hits.next).toBeNull();
  expect(hits.data.map((hit: Json) => [hit.archiveId, hit.campaignName, hit.entity, hit.row.email])).toEqual(
    [
      [first.campaignId, 'First', 'contact', 'Person-2@sought.example'],
      [second.campaignId, 'Second', 'contact', 'Person-2@sought.example'],
    ].sort((a, b) => ((a[0] ?? '') < (b[0] ?? '') ? -1 : 1)),
  );
  const prospect = (await client.get(`/v1/archives/search?email=${first.companyIds[1]}@found.example`)).body
    .data;
  expect(prospect).toMatchObject([{ entity: 'prospect', archiveId: first.campaignId }]);
  expect((await client.get('/v1/archives/search?email=nobody@sought.example')).body).toEqual({
    data: [],
    next: null,
  });
});

test('a domain is found in companies and in addresses, page by page', async () => {
  const { campaignId } = await anArchive(db, client.tenantId, { mark: 'domained', companies: 2500 });
  const hits: Json[] = await client.walk(
    '/v1/archives/search?domain=https://www.Domained.example/x&limit=300',
  );
  expect(hits.filter((hit) => hit.archiveId === campaignId)).toHaveLength(2500);
  expect(new Set(hits.map((hit) => hit.row.id)).size).toBe(2500);
  const company = await client.walk('/v1/archives/search?domain=company-2400.example&limit=10');
  expect(company.map((hit) => [hit.archiveId, hit.entity])).toEqual([[campaignId, 'company']]);
});

test('the index holds no address, and two that share a hash are told apart', async () => {
  const { campaignId } = await anArchive(db, client.tenantId, { mark: 'shared', companies: 2 });
  const rows = await db.query(t`select archive_id from archive_lookup where archive_id = ${campaignId}`);
  expect(rows.length).toBe(3);
  // As if another address had the same 32 bits.
  await db.query(t`update archive_lookup set hashes = hashes || aim.archive_token(
      (select salt from archive_salts where user_id = ${client.tenantId}), 'e:else@shared.example')
    where archive_id = ${campaignId}`);
  expect((await client.get('/v1/archives/search?email=else@shared.example')).body.data).toEqual([]);
});

test('an export is the whole table, part by part, as NDJSON and as CSV', async () => {
  const { campaignId } = await anArchive(db, client.tenantId, { companies: 1500 });
  const parts = async (query: string) => {
    let body = '';
    let count = 0;
    for (let cursor: string | null = ''; cursor !== null; count++) {
      const reply = await client.get(
        `/v1/archives/${campaignId}/export?limit=400&${query}${cursor === '' ? '' : `&cursor=${cursor}`}`,
      );
      expect(reply.status).toBe(200);
      body += reply.body ?? '';
      cursor = reply.headers.get('x-next-cursor');
    }
    expect(count).toBeGreaterThan(3);
    return body;
  };
  for (const table of ['contacts', 'companies', 'research', 'prospects']) {
    const lines = (await parts(`table=${table}`)).trimEnd().split('\n');
    expect(new Set(lines.map((line) => JSON.parse(line).id)).size).toBe(1500);
  }
  const csv = (await parts('table=contacts&format=csv')).trimEnd().split('\r\n');
  expect(csv).toHaveLength(1501);
  expect(csv[0]).toBe(
    'id,campaignId,companyId,fullName,email,title,phone,linkedin,attributes,version,createdAt,updatedAt',
  );
  expect(csv[1]).toContain('"{""n"":');
});

test('a CSV is marked as UTF-8 once, at its start, and the import reads it back', async () => {
  const { campaignId } = await anArchive(db, client.tenantId, { companies: 500 });
  const files: Record<string, Buffer> = {};
  for (const format of ['csv', 'ndjson']) {
    const parts: Buffer[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const reply: Response = await api.app.request(
        `/v1/archives/${campaignId}/export?table=companies&limit=200&format=${format}${cursor === '' ? '' : `&cursor=${cursor}`}`,
        { headers: { authorization: `Bearer ${client.key}` } },
      );
      // Bytes, for text() takes the mark away.
      parts.push(Buffer.from(await reply.arrayBuffer()));
      cursor = reply.headers.get('x-next-cursor');
    }
    expect(parts.length).toBeGreaterThan(2);
    files[format] = Buffer.concat(parts);
  }
  const marks = (format: string) => files[format]?.toString().match(/\ufeff/g)?.length ?? 0;
  expect([marks('csv'), marks('ndjson')]).toEqual([1, 0]);
  expect(files.csv?.subarray(0, 5)).toEqual(Buffer.from('\ufeffid'));
  const names: (string | null)[] = [];
  for await (const line of readCompanies(() => [files.csv ?? Buffer.alloc(0)])) {
    expect(line).toMatchObject({ status: 'company', attributes: { id: expect.any(String), campaignId } });
    if (line.status === 'company') names.push(line.name);
  }
  expect(new Set(names).size).toBe(500);
});

test('a part fits in an answer of a Lambda, which is JSON, however many quotes there are in it', async () => {
  const campaignId = await client.campaign();
  await db.query(t`insert into contacts (user_id, campaign_id, attributes)
    select ${client.tenantId}, ${campaignId}, jsonb_build_object('text', repeat('"', 60000)) from generate_series(1, 40)`);
  await archive(db, client.tenantId, campaignId);
  for (const format of ['csv', 'ndjson']) {
    let rows = 0;
    for (let cursor: string | null = ''; cursor !== null; ) {
      const reply = await client.get(
        `/v1/archives/${campaignId}/export?format=${format}${cursor === '' ? '' : `&cursor=${cursor}`}`,
      );
      expect(Buffer.byteLength(JSON.stringify(reply.body))).toBeLessThan(6_000_000);
      rows += reply.body.match(/\n/g)?.length ?? 0;
      cursor = reply.headers.get('x-next-cursor');
    }
    expect(rows).toBe(format === 'csv' ? 41 : 40);
  }
});

test.each([
  ['=cmd()', "'=cmd()"],
  ['@x', "'@x"],
  ['-1+A1', "'-1+A1"],
  ['+49 (30) 123-4', '+49 (30) 123-4'],
  ['-5.2', '-5.2'],
  ['a "b", c', '"a ""b"", c"'],
  ['two\nlines', '"two\nlines"'],
  [null, ''],
  [{ a: '=1' }, '"{""a"":""=1""}"'],
])('a cell %j is written as %j', (given, written) => {
  expect(csvCell(given)).toBe(written);
});

test("another's archive is nobody's, and a campaign that is deleted takes its archive out of sight", async () => {
  const { campaignId } = await anArchive(db, client.tenantId, { mark: 'gone' });
  const paths = ['', '/contacts', '/companies', '/export'].map((path) => `/v1/archives/${campaignId}${path}`);
  for (const path of paths) {
    expect([path, (await client.get(path)).status]).toEqual([path, 200]);
    expect([path, (await other.get(path)).status]).toEqual([path, 404]);
  }
  const listed = async (who: Client) =>
    (await who.get('/v1/archives?limit=1000')).body.data.map((archive: Json) => archive.id);
  expect(await listed(client)).toContain(campaignId);
  expect(await listed(other)).not.toContain(campaignId);
  expect((await client.send('DELETE', `/v1/campaigns/${campaignId}`)).status).toBe(204);
  for (const path of paths) expect([path, (await client.get(path)).status]).toEqual([path, 404]);
  expect(await listed(client)).not.toContain(campaignId);
  expect((await client.get('/v1/archives/search?email=person-1@gone.example')).body.data).toEqual([]);
});

test('a policy is set as a whole, shown again, and is nobody elses', async () => {
  expect((await client.get('/v1/archive-policy')).body).toEqual({
    idleDays: null,
    endedDays: null,
    closed: false,
    retentionDays: null,
    version: null,
  });
  await client.put('/v1/archive-policy', { idleDays: 30, closed: true });
  const set = await client.put('/v1/archive-policy', { retentionDays: 700 });
  expect(set.body).toEqual({
    idleDays: null,
    endedDays: null,
    closed: false,
    retentionDays: 700,
    version: 2,
  });
  expect((await client.get('/v1/archive-policy')).body).toEqual(set.body);
  expect((await other.get('/v1/archive-policy')).body.version).toBeNull();
  expect((await client.put('/v1/archive-policy', { idleDays: 0 })).status).toBe(400);
});

test('an archive whose campaign is renamed is shown under the new name, and so is what is found in it', async () => {
  const { campaignId } = await anArchive(db, client.tenantId, {
    companies: 1,
    mark: 'renamed',
    name: 'Old name',
  });
  expect((await client.send('PATCH', `/v1/campaigns/${campaignId}`, { name: 'New name' })).status).toBe(200);
  const { data } = (await client.get('/v1/archives')).body;
  expect(data.find(({ id }: Json) => id === campaignId)).toMatchObject({ name: 'New name' });
  expect((await client.get(`/v1/archives/${campaignId}`)).body).toMatchObject({ name: 'New name' });
  const found = (await client.get('/v1/archives/search?domain=renamed.example')).body;
  expect(found.data).toMatchObject([{ campaignName: 'New name' }]);
});
