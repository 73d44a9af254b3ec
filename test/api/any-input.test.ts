import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aProvider } from '../support/factories.ts';
import { type Api, aClient, anApi, type Client } from './client.ts';

let db: TestDatabase;
let api: Api;
let client: Client;
let campaignId: string;
beforeAll(async () => {
  db = await testDatabase();
  api = anApi(db);
  client = await aClient(db, api, { scopes: ['read', 'write', 'research', 'results:write'] });
  campaignId = await client.campaign();
  await aProvider(db, client.tenantId);
});
afterAll(() => db.close());

const words = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    '\0',
    '\ud800',
    'a@b.example',
    'İ@x.example',
    'i̇@x.example',
    'ß',
    'acme.example',
    'https://[::1]/',
  ),
  fc.constantFrom(
    'x'.repeat(501),
    `${'x'.repeat(99)}😀 y`,
    '%00',
    "'; drop table contacts; --",
    '1e400',
    '__proto__',
    'a-provider',
  ),
);
const anything = fc.anything({
  withNullPrototype: false,
  maxDepth: 4,
  key: words,
  values: [words, fc.double(), fc.boolean(), fc.constant(null)],
});
const maybe = <Value>(value: fc.Arbitrary<Value>) =>
  fc.oneof({ weight: 4, arbitrary: value as fc.Arbitrary<unknown> }, anything);
const rowOf = (...fields: string[]) =>
  maybe(fc.record(Object.fromEntries(fields.map((name) => [name, maybe(words)])), { requiredKeys: [] }));
const sent = async (method: string, path: string, body: unknown) => {
  const text = JSON.stringify(body) ?? 'null';
  // With a key, what is answered is kept too.
  for (const headers of [{}, { 'idempotency-key': randomUUID() }]) {
    const { status, body: answer } = await client.send(method, path, text, headers);
    if (status >= 500) return { status, answer, headers };
  }
  return 'fine';
};
const property = (arbitrary: fc.Arbitrary<unknown>, method: string, path: () => string) =>
  fc.assert(
    fc.asyncProperty(arbitrary, async (body) => {
      expect(await sent(method, path(), body)).toBe('fine');
    }),
    { numRuns: 150 },
  );

test('no companies, contacts, provider, dispatch or callback makes a 5xx', async () => {
  const bulk = (row: fc.Arbitrary<unknown>) =>
    fc.array(row, { maxLength: 12 }).map((rows) => ({ campaignId, rows }));
  await property(bulk(rowOf('name', 'domain', 'attributes')), 'POST', () => '/v1/companies/bulk');
  const contact = rowOf('fullName', 'email', 'title', 'phone', 'linkedin', 'companyDomain', 'attributes');
  await property(bulk(contact), 'POST', () => '/v1/contacts/bulk');
  await property(rowOf('name'), 'POST', () => '/v1/campaigns');
  const url = fc.oneof(fc.webUrl(), words);
  const draft = fc.record({
    kind: fc.constant('webhook'),
    url,
    batchSize: fc.oneof(fc.nat(200), fc.double()),
  });
  await property(maybe(draft), 'PUT', () => '/v1/providers/any');
  const time = fc.oneof(
    fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
    words,
  );
  const request = fc.record(
    {
      provider: maybe(words),
      domains: fc.array(words),
      runAt: time,
      priority: fc.integer(),
      kind: maybe(words),
    },
    { requiredKeys: ['provider', 'domains'] },
  );
  await property(maybe(request), 'POST', () => `/v1/campaigns/${campaignId}/research`);
  const days = fc.oneof(fc.integer(), fc.double(), words);
  const policy = fc.record(
    { idleDays: days, endedDays: days, retentionDays: days, closed: fc.anything() },
    { requiredKeys: [] },
  );
  await property(maybe(policy), 'PUT', () => '/v1/archive-policy');
  await property(
    maybe(fc.record({ email: fc.oneof(fc.emailAddress(), words) })),
    'POST',
    () => '/v1/erasures',
  );
  await property(
    maybe(fc.record({ cancelOpenJobs: fc.anything() })),
    'POST',
    () => '/v1/campaigns/none/archive',
  );
  await property(rowOf('name', 'closed'), 'PATCH', () => `/v1/campaigns/${campaignId}`);
  await property(
    maybe(fc.record({ results: fc.array(anything) })),
    'POST',
    () => `/v1/callbacks/${campaignId}`,
  );
}, 120_000);

test('no path or query makes a 5xx', async () => {
  const lists = [
    'campaigns',
    'companies',
    'contacts',
    'providers',
    'batches',
    'jobs',
    'research',
    'prospects',
    'archives',
    'archives/search',
    'archives/events',
    `archives/${campaignId}/contacts`,
    `archives/${campaignId}/export`,
    'erasures',
  ];
  const query = fc.dictionary(
    fc.constantFrom(
      'limit',
      'cursor',
      'order',
      'campaignId',
      'companyId',
      'batchId',
      'status',
      'kind',
      'archived',
      'email',
      'domain',
      'state',
      'table',
      'format',
      'x',
    ),
    fc.oneof(words, fc.constant(campaignId), fc.nat().map(String)),
  );
  const encode = (text: string) => encodeURIComponent(text.toWellFormed());
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...lists), query, fc.option(words), async (list, filters, id) => {
      const search = Object.entries(filters).map(([name, value]) => `${name}=${encode(value)}`);
      const path = `/v1/${list}${id === null ? '' : `/${encode(id)}`}?${search.join('&')}`;
      expect((await client.get(path)).status).toBeLessThan(500);
    }),
    { numRuns: 300 },
  );
});
