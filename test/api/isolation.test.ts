import { randomUUID } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { type Everything, oneOfEverything } from '../support/everything.ts';
import { aCampaign } from '../support/factories.ts';
import { type Api, aClient, anApi, type Client, type Json } from './client.ts';
import { bodies, example, isId, isText, type Operation, operationsOf } from './operations.ts';

/*
 * Two tenants with a row in everything. Whatever the first sends with the second's ids, names, cursors and ETags: he
 * sees nothing of the second, and gets the answer that he gets for what nobody has. Routes, parameters and bodies are
 * read from the OpenAPI document, so that a new one is tried as well.
 */

let db: TestDatabase;
let api: Api;
let mine: Everything;
let theirs: Everything;
let client: Client;
let other: Client;
let operations: Operation[];
let spare: string;
/** What each operation answered the first tenant before there was a second. */
const alone = new Map<string, string>();

beforeAll(async () => {
  db = await testDatabase();
  api = anApi(db);
  const document: Json = await (await api.app.request('/openapi.json')).json();
  operations = operationsOf(document);
  mine = await oneOfEverything(db, 'mineral');
  spare = await aCampaign(db, mine.tenantId, { name: 'mineral spare' });
  client = await aClient(db, api, {
    tenantId: mine.tenantId,
    scopes: ['read', 'write', 'research', 'results:write'],
  });
  for (const url of reads(mine)) alone.set(url, await answer('GET', url));
  theirs = await oneOfEverything(db, 'thermal');
  other = await aClient(db, api, { tenantId: theirs.tenantId });
});
afterAll(() => db.close());

/** Ids of the second tenant, and for each what nobody has. */
const foreign = (): string[] => Object.values(theirs.ids);
/** Words that a parameter or body may take: names, kinds, texts to search for. */
const words = (): string[] => [
  theirs.mark,
  theirs.domain,
  `ada@${theirs.mark}.example`,
  `${theirs.mark} campaign`,
];

/** An answer without what differs on purpose, to compare it with another. */
function comparable(text: string, given?: string): string {
  // Requests are numbered, and the feed moves on with the transactions of the whole cluster.
  const without = text.replaceAll(/"requestId":"[^"]*"/g, '').replaceAll(/"next":"Wz[^"]*"/g, '');
  return given === undefined ? without : without.replaceAll(given, '‹given›');
}

async function answer(method: string, path: string, body?: unknown): Promise<string> {
  const reply = await client.send(method, path, body);
  return JSON.stringify([reply.status, reply.body]);
}

/** Nothing of the second tenant stands in an answer, save what the question itself named. */
function expectNoTrace(text: string, given: string): void {
  const rest = text.replaceAll(given, '');
  for (const trace of [theirs.tenantId, theirs.mark, theirs.provider.secret, ...foreign()]) {
    expect(rest).not.toContain(trace);
  }
}

/** Every list and entity that a tenant can read, by his own ids. */
function reads(whose: Everything): string[] {
  return operations
    .filter(({ method, path }) => method === 'GET' && path.startsWith('/v1/'))
    .flatMap(({ path, parameters }) => {
      const inPath = parameters.filter((parameter) => parameter.in === 'path');
      const paths =
        inPath.length === 0
          ? [path]
          : [...Object.values(whose.ids), whose.mark].map((id) => path.replace(/\{\w+\}/, id));
      const needed = parameters.filter((one) => one.in === 'query' && isId(one.schema));
      return paths.flatMap((one) => [
        one,
        ...needed.flatMap(({ name }) => Object.values(whose.ids).map((id) => `${one}?${name}=${id}`)),
      ]);
    });
}

/** What goes into the archive and out of it is another campaign than the one that all the rest is tried with. */
const ownPath = (path: string): string =>
  path
    .replace('{id}', /\/(archive|restore)$/.test(path) ? spare : mine.ids.campaignId)
    .replace('{askId}', mine.ids.askId)
    .replace('{name}', mine.mark);

const others = (): string[] => [...foreign(), ...words()];
const nobodys = (value: string): string =>
  foreign().includes(value) ? randomUUID() : value.replaceAll(theirs.mark, 'nothing');

test('the document has routes with ids, with cursors and with bodies, so that the tests below mean something', () => {
  const count = (test: (operation: Operation) => boolean) => operations.filter(test).length;
  expect(count(({ parameters }) => parameters.some(({ in: where }) => where === 'path'))).toBeGreaterThan(8);
  expect(count(({ parameters }) => parameters.some(({ name }) => name === 'cursor'))).toBeGreaterThan(7);
  expect(count(({ body }) => bodies(body, mine).length > 0)).toBeGreaterThan(4);
  expect([...alone.values()].filter((text) => text.startsWith('[200')).length).toBeGreaterThan(25);
});

test('the second tenant sees his rows where the first looks for them below', async () => {
  const listed = await Promise.all(
    ['campaigns', 'companies', 'contacts', 'providers', 'batches', 'research', 'prospects'].map(
      async (list) => (await other.get(`/v1/${list}`)).body.data.length,
    ),
  );
  expect(listed).toEqual([1, 2, 1, 1, 1, 1, 1]);
});

test('no answer changes by a letter when another tenant comes', async () => {
  for (const [url, before] of alone) {
    expect([url, comparable(await answer('GET', url))]).toEqual([url, comparable(before)]);
  }
});

test('what the first tenant sends of his own is taken, so that a refusal below is for what is not his', async () => {
  for (const { method, path, body } of operations) {
    if (!body) continue;
    const text = await answer(method, ownPath(path), example(body, mine));
    // On its way into the archive it cannot be restored yet.
    const taken = path.endsWith('/restore') ? /^\[(202|409)/ : /^\[2\d\d/;
    expect([method, path, text]).toEqual([method, path, expect.stringMatching(taken)]);
  }
});

test("another's id or name in a path is nobody's", async () => {
  for (const { method, path, parameters, body } of operations) {
    if (!parameters.some((parameter) => parameter.in === 'path')) continue;
    for (const value of others()) {
      // Makes what it names; the test of bodies has it.
      if (method === 'PUT') continue;
      const send = async (given: string) => {
        const text = await answer(
          method,
          path.replace(/\{\w+\}/, encodeURIComponent(given)),
          body && example(body, mine),
        );
        return comparable(text, given);
      };
      const text = await send(value);
      expect([method, path, value, text]).toEqual([method, path, value, await send(nobodys(value))]);
      expectNoTrace(text, value);
      expect(text).toMatch(/^\[4\d\d/);
    }
  }
});

test("another's id or word in a filter finds what nobody's finds", async () => {
  for (const { method, path, parameters } of operations) {
    if (method !== 'GET' || path.includes('{')) continue;
    for (const { name, schema } of parameters.filter((parameter) => parameter.in === 'query')) {
      const values = isId(schema) ? foreign() : isText(schema) ? others() : [];
      for (const value of values) {
        const send = async (given: string) =>
          comparable(await answer('GET', `${path}?${name}=${encodeURIComponent(given)}`), given);
        const text = await send(value);
        // A search for an id finds one's own that look like it: ids of one minute do, a random one does not.
        if (name !== 'search' || !foreign().includes(value))
          expect([path, name, value, text]).toEqual([path, name, value, await send(nobodys(value))]);
        expectNoTrace(text, value);
      }
    }
  }
});

test("two filters, one's own and another's, find nothing of the other", async () => {
  for (const { method, path, parameters } of operations) {
    const filters = parameters.filter((parameter) => parameter.in === 'query' && isId(parameter.schema));
    if (method !== 'GET' || filters.length < 2) continue;
    for (const [a, b] of filters.flatMap((one) =>
      filters.filter((two) => two !== one).map((two) => [one, two]),
    )) {
      const own = mine.ids[a?.name as keyof Everything['ids']];
      for (const value of foreign()) {
        const send = async (given: string) =>
          comparable(await answer('GET', `${path}?${a?.name}=${own}&${b?.name}=${given}`), given);
        const text = await send(value);
        expect([path, b?.name, text]).toEqual([path, b?.name, await send(nobodys(value))]);
        expectNoTrace(text, value);
      }
    }
  }
});

test("another's cursor shows nothing of him", async () => {
  const batchOf = (whose: Everything) => `batchId=${whose.ids.batchId}`;
  let tried = 0;
  for (const { method, path, parameters } of operations) {
    if (method !== 'GET' || !parameters.some(({ name }) => name === 'cursor')) continue;
    const needs = path === '/v1/jobs';
    const extra = path.startsWith('/v1/') ? await moreOf(path) : undefined;
    const first = await other.get(`${path}?limit=1${needs ? `&${batchOf(theirs)}` : ''}`);
    const cursor = first.body?.next ?? first.body?.cursor ?? extra;
    if (typeof cursor !== 'string') continue;
    tried++;
    for (const query of [`limit=5`, `limit=5&order=asc`, `limit=5&order=desc`, `limit=5&${batchOf(mine)}`]) {
      const text = await answer('GET', `${path}?${query}&cursor=${encodeURIComponent(cursor)}`);
      expectNoTrace(text, cursor);
    }
  }
  expect(tried).toBeGreaterThan(5);
});

test("an ETag of another's answer is not one's own", async () => {
  for (const url of reads(theirs)) {
    const etag = (await other.get(url)).headers.get('etag');
    if (etag === null) continue;
    const reply = await client.send('GET', url, undefined, { 'if-none-match': etag });
    expect([url, reply.status]).not.toEqual([url, 304]);
  }
});

test("another's ids and names in a body are nobody's, and change nothing of his", async () => {
  const before = await everyRowOf(theirs.tenantId);
  for (const { method, path, body } of operations) {
    if (!body) continue;
    const own = ownPath(path);
    for (const [where, make] of bodies(body, mine)) {
      for (const value of others()) {
        const text = await answer(method, own, make(value));
        expectNoTrace(text.replaceAll(nobodys(value), ''), value);
        // What is made under such a name is one's own; the rest is refused, or not, as for nobody's.
        if (text.startsWith('[2')) continue;
        const nobody = nobodys(value);
        expect([path, where, comparable(text, value)]).toEqual([
          path,
          where,
          comparable(await answer(method, own, make(nobody)), nobody),
        ]);
      }
    }
  }
  expect(await everyRowOf(theirs.tenantId)).toEqual(before);
});

test("the signature of one's own provider opens nobody else's ask", async () => {
  const send = async (askId: string, secret: string) => {
    const { jobId, attemptId } = theirs.ids;
    const text = JSON.stringify({ results: [{ jobId, attemptId, status: 'failed', error: { code: 'x' } }] });
    const response = await api.app.request(`/v1/callbacks/${askId}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': 'm1',
        'webhook-timestamp': String(Math.floor(Date.now() / 1000)),
        'webhook-signature': new Webhook(secret).sign('m1', new Date(), text),
      },
      body: text,
    });
    return comparable(JSON.stringify([response.status, await response.json()]), askId);
  };
  expect(await send(mine.ids.askId, mine.provider.secret)).toContain('not_asked');
  expect(await send(theirs.ids.askId, mine.provider.secret)).toBe(
    await send(randomUUID(), mine.provider.secret),
  );
});

test("an idempotency key of another's is free, and one's own answer is not his", async () => {
  const headers = { 'idempotency-key': 'the-same' };
  const his = await other.post('/v1/campaigns', { name: 'thermal spring' }, headers);
  const own = await client.post('/v1/campaigns', { name: 'mineral spring' }, headers);
  expect([his.status, own.status]).toEqual([201, 201]);
  expect(own.body.id).not.toBe(his.body.id);
});

/** A second row where the second tenant has but one, so that a page of one has a next. */
async function moreOf(path: string): Promise<undefined> {
  const list = path.split('/').pop();
  const t = sql('t');
  const { tenantId, ids, mark } = theirs;
  if (list === 'campaigns')
    await db.query(t`insert into campaigns (user_id, name) values (${tenantId}, ${mark})`);
  if (list === 'contacts') {
    await db.query(t`
      insert into contacts (user_id, campaign_id, full_name) values (${tenantId}, ${ids.campaignId}, ${mark})`);
  }
  if (list === 'providers') {
    await db.query(t`
      insert into research_providers (user_id, name, kind, url, secret)
      values (${tenantId}, ${`${mark}-two`}, 'webhook', 'https://x.example/', 'whsec_x')`);
  }
  if (list === 'batches') {
    await db.query(t`
      insert into research_batches (user_id, campaign_id, provider_id, kind)
      values (${tenantId}, ${ids.campaignId}, ${ids.providerId}, ${mark})`);
  }
  if (list === 'research') {
    await db.query(t`
      insert into company_research (user_id, campaign_id, company_id, kind)
      values (${tenantId}, ${ids.campaignId}, ${ids.companyId}, ${`${mark}-two`})`);
  }
  if (list === 'prospects') {
    await db.query(t`
      insert into prospect_research (user_id, campaign_id, company_id, company_research_id, natural_key)
      values (${tenantId}, ${ids.campaignId}, ${ids.companyId}, ${ids.researchId}, ${`${mark}-two`})`);
  }
}

async function everyRowOf(tenantId: string): Promise<unknown[]> {
  const tables = await db.query<{ name: string }>(sql('t')`
    select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id'
    where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace and c.relname <> 'api_keys' order by 1`);
  return Promise.all(
    tables.map(({ name }) =>
      db.query({
        statement: 't',
        text: `select '${name}' as name, to_jsonb(x) as row from ${name} x where user_id = $1 order by x::text`,
        values: [tenantId],
      }),
    ),
  );
}
