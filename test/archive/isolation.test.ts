import { randomUUID } from 'node:crypto';
import { archiveWork } from '../../core/archive/on-demand.ts';
import { sql } from '../../core/db/sql.ts';
import { type Api, aClient, anApi, type Client, type Json, type Reply } from '../api/client.ts';
import { archiver, aVariedCampaign, digestOf } from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aProvider } from '../support/factories.ts';

/*
 * Two tenants with the same people in the archive. The stranger sends what the owner sends, ids and cursors included: he
 * sees, counts and changes nothing of the owner. Every operation of the OpenAPI document that is about archives has to
 * have a case here; test/api/isolation.test.ts tries all operations with another's ids and words besides.
 */

const t = sql('t');
let db: TestDatabase;
let api: Api;
let owner: Client;
let stranger: Client;
let owned: Awaited<ReturnType<typeof aWorldInTheArchive>>;
let strange: Awaited<ReturnType<typeof aWorldInTheArchive>>;

/** Runs the archive function for each task that was sent. */
async function work(): Promise<void> {
  const log = { info: () => undefined, warn: () => undefined };
  for (const task of api.tasks.splice(0)) {
    const deps = { ...archiver(db.asWorker), log, invokeSelf: async () => undefined };
    await archiveWork(deps, task, { remainingMs: () => 600_000 });
  }
}

/** Two campaigns in the archive and a live one, a policy, and a person of each campaign forgotten. */
async function aWorldInTheArchive(client: Client, mark: string) {
  const provider = await aProvider(db, client.tenantId);
  const [first, second, live] = [
    await aVariedCampaign(db, client.tenantId, provider.id),
    await aVariedCampaign(db, client.tenantId, provider.id),
    await aVariedCampaign(db, client.tenantId, provider.id),
  ];
  await db.query(t`
    update contacts set email = ${mark} || '-' || email where campaign_id = ${second} and email is not null`);
  for (const id of [first, second]) expectTaken(await client.post(`/v1/campaigns/${id}/archive`, {}));
  await work();
  expectTaken(await client.put('/v1/archive-policy', { idleDays: mark === 'owner' ? 77 : 33 }));
  const erasures = [];
  for (const email of ['gone-1@x.example', 'gone-2@x.example']) {
    const begun = await client.post('/v1/erasures', { email });
    expectTaken(begun);
    erasures.push(begun.body.id as string);
  }
  await work();
  return { first, second, live, erasure: erasures[0] ?? '', email: `${mark}-1@company-1.example` };
}

function expectTaken(reply: Reply): void {
  expect([reply.status < 300, reply.body]).toEqual([true, expect.anything()]);
}

/** The place that the owner is at after a page of one. */
async function cursorOf(path: string): Promise<string> {
  const joined = `${path}${path.includes('?') ? '&' : '?'}limit=1`;
  const reply = await owner.get(joined);
  const cursor: unknown = reply.body.next ?? reply.headers.get('x-next-cursor');
  if (typeof cursor !== 'string') throw new Error(`${joined} has no next page`);
  return `${joined}&cursor=${encodeURIComponent(cursor)}`;
}
const withCursor = async (path: string) => [path, await cursorOf(path)];
const exports = ['contacts', 'companies', 'research', 'prospects'].flatMap((table) =>
  ['ndjson', 'csv'].map((format) => `table=${table}&format=${format}`),
);

interface Case {
  /** What the owner asks for, with his own ids, words and cursors. */
  paths: (id: string) => string[] | Promise<string[]>;
  body?: object;
  /** Stands in the owner's answers; one of his ids unless given. */
  shows?: RegExp;
  /** Which of the owner's ids the path has. */
  id?: () => string;
}
const archived = () => owned.first;

const cases: Record<string, Case> = {
  'POST /v1/campaigns/{id}/archive': {
    paths: (id) => [`/v1/campaigns/${id}/archive`],
    body: { cancelOpenJobs: true },
    id: () => owned.live,
  },
  'POST /v1/campaigns/{id}/restore': {
    paths: (id) => [`/v1/campaigns/${id}/restore`],
    body: {},
    id: () => owned.second,
  },
  'GET /v1/archives': {
    paths: async () => [
      ...(await withCursor('/v1/archives')),
      ...(await withCursor('/v1/archives?state=archived')),
    ],
  },
  'GET /v1/archives/search': {
    paths: async () => [
      `/v1/archives/search?email=${owned.email}`,
      ...(await withCursor('/v1/archives/search?email=ada@x.example')),
      ...(await withCursor('/v1/archives/search?domain=company-1.example')),
    ],
  },
  'GET /v1/archives/events': { paths: () => withCursor('/v1/archives/events') },
  'GET /v1/archives/{id}': { paths: (id) => [`/v1/archives/${id}`], id: archived },
  'GET /v1/archives/{id}/contacts': {
    paths: (id) => withCursor(`/v1/archives/${id}/contacts`),
    id: archived,
  },
  'GET /v1/archives/{id}/companies': {
    paths: (id) => withCursor(`/v1/archives/${id}/companies`),
    id: archived,
  },
  'GET /v1/archives/{id}/export': {
    paths: async (id) =>
      (await Promise.all(exports.map((query) => withCursor(`/v1/archives/${id}/export?${query}`)))).flat(),
    id: archived,
  },
  'GET /v1/archive-policy': { paths: () => ['/v1/archive-policy'], shows: /"idleDays":77/ },
  'PUT /v1/archive-policy': {
    paths: () => ['/v1/archive-policy'],
    body: { idleDays: 77 },
    shows: /"idleDays":77/,
  },
  'POST /v1/erasures': { paths: () => ['/v1/erasures'], body: { email: '1@company-1.example' } },
  'GET /v1/erasures': { paths: () => withCursor('/v1/erasures') },
  'GET /v1/erasures/{id}': { paths: (id) => [`/v1/erasures/${id}`], id: () => owned.erasure },
};
const names = Object.keys(cases);

const uuids = (text: string) => new Set(text.match(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g));

/** As the owner of the tables: every row of a tenant, chunks and all. */
async function everyRowOf(tenantId: string): Promise<string> {
  const tables = await db.query<{ name: string }>(t`
    select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id'
    where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace and c.relname <> 'api_keys' order by 1`);
  const rows = [];
  for (const { name } of tables) {
    const text = `select to_jsonb(x) as row from ${name} x where user_id = $1 order by x::text`;
    rows.push(name, await db.query({ statement: 't', text, values: [tenantId] }));
  }
  return JSON.stringify(rows);
}

const textOf = ({ body }: Reply) => (typeof body === 'string' ? body : JSON.stringify(body));
const send = (client: Client, name: string, path: string) =>
  client.send(name.split(' ')[0] ?? '', path, cases[name]?.body);
/** The owner's ids, of which none may be seen. */
async function secrets(): Promise<string[]> {
  const [own, others] = [uuids(await everyRowOf(owner.tenantId)), uuids(await everyRowOf(stranger.tenantId))];
  return [...own].filter((id) => !others.has(id));
}

/** Each layer is enough alone: what the queries say is tried as the owner of the tables, whom no policy binds. */
describe.each(['as the API', 'without row level security'])('%s', (layer) => {
  beforeAll(async () => {
    db = await testDatabase();
    api = anApi(layer === 'as the API' ? db : { query: db.query, transaction: db.transaction });
    owner = await aClient(db, api);
    stranger = await aClient(db, api);
    owned = await aWorldInTheArchive(owner, 'owner');
    strange = await aWorldInTheArchive(stranger, 'stranger');
  });
  afterAll(() => db.close());
  test('every operation about archives has a case', async () => {
    const document: Json = await (await api.app.request('/openapi.json')).json();
    const operations = Object.entries<Json>(document.paths).flatMap(([path, item]) =>
      Object.entries<Json>(item)
        .filter(([, { tags }]) => tags.includes('Archives') || /archiv|erasure|restore/.test(path))
        .map(([method]) => `${method.toUpperCase()} ${path}`),
    );
    expect(names.toSorted()).toEqual(operations.toSorted());
  });

  describe('what the owner reads', () => {
    test.each(names.filter((name) => name.startsWith('GET')))(
      '%s shows him something of his own',
      async (name) => {
        const { paths, shows, id } = cases[name] as Case;
        const own = await secrets();
        for (const path of await paths(id?.() ?? '')) {
          const reply = await send(owner, name, path);
          expect([path, reply.status]).toEqual([path, 200]);
          const text = textOf(reply);
          expect([path, shows ? shows.test(text) : own.some((secret) => text.includes(secret))]).toEqual([
            path,
            true,
          ]);
        }
      },
    );
  });

  describe('of it the stranger', () => {
    test.each(names)('gets nothing by %s, and changes nothing', async (name) => {
      const { paths, shows, id } = cases[name] as Case;
      const [own, before] = [await secrets(), await everyRowOf(owner.tenantId)];
      const given = id?.();
      const asked = await paths(given ?? '');
      for (const path of asked) {
        const reply = await send(stranger, name, path);
        const text = given === undefined ? textOf(reply) : textOf(reply).replaceAll(given, '');
        expect([path, own.filter((secret) => text.includes(secret))]).toEqual([path, []]);
        if (given === undefined) {
          if (name.startsWith('GET')) expect([path, shows?.test(text) ?? false]).toEqual([path, false]);
          expect([path, reply.status < 500]).toEqual([path, true]);
          continue;
        }
        // Exactly what he gets for an id that nobody has.
        const nobody = randomUUID();
        const unknown = await send(stranger, name, path.replace(given, nobody));
        const comparable = (one: Reply, without: string) =>
          textOf(one)
            .replaceAll(without, '')
            .replace(/"requestId":"[^"]*"/, '');
        expect([path, reply.status]).toEqual([path, 404]);
        expect(comparable(reply, given)).toBe(comparable(unknown, nobody));
      }
      expect(await everyRowOf(owner.tenantId)).toBe(before);
      // The function is called for nothing of the owner, either.
      for (const task of api.tasks.splice(0)) expect(task).toMatchObject({ tenantId: stranger.tenantId });
    });

    test("sees his own archive where the owner's cursor leads, or is told that it is not his", async () => {
      for (const table of ['contacts', 'companies', 'export']) {
        const path = await cursorOf(`/v1/archives/${owned.first}/${table}`);
        const reply = await stranger.get(path.replace(owned.first, strange.first));
        expect([table, reply.status, reply.body.code]).toEqual([table, 400, 'invalid_cursor']);
      }
      const own = (await stranger.get('/v1/archives?limit=100')).body.data.map(({ id }: Json) => id);
      expect(own.toSorted()).toEqual([strange.first, strange.second].toSorted());
    });

    test('counts as many archives, events and hits as he has himself', async () => {
      for (const [path, count] of [
        ['/v1/archives?limit=100', 2],
        ['/v1/archives/events?limit=100', 2],
        ['/v1/archives/search?email=1@company-1.example', 1],
        [`/v1/archives/search?email=${owned.email}`, 0],
        [`/v1/archives/search?email=${strange.email}`, 1],
      ] as const) {
        expect([path, (await stranger.get(path)).body.data.length]).toEqual([path, count]);
      }
    });
  });

  test('a person whom both know is forgotten by the one who asks, and stays with the other', async () => {
    const email = '1@company-2.example';
    const hits = async (client: Client) =>
      (await client.get(`/v1/archives/search?email=${email}`)).body.data.length;
    const live = async (client: Client) =>
      JSON.stringify((await client.walk('/v1/contacts?limit=500')).map(({ email: one }) => one));
    const [before, rows] = [await everyRowOf(owner.tenantId), await digestOf(db, owned.live)];
    expect([await hits(owner), await hits(stranger)]).toEqual([1, 1]);
    const begun = await stranger.post('/v1/erasures', { email });
    expectTaken(begun);
    await work();
    expect([await hits(owner), await hits(stranger)]).toEqual([1, 0]);
    expect([(await live(owner)).includes(email), (await live(stranger)).includes(email)]).toEqual([
      true,
      false,
    ]);
    expect(await digestOf(db, owned.live)).toEqual(rows);
    expect(await everyRowOf(owner.tenantId)).toBe(before);
    expect((await owner.get(`/v1/erasures/${begun.body.id}`)).status).toBe(404);
  });

  test("the owner's restore and archive are his alone to see, and the stranger's stay where they are", async () => {
    const before = await digestOf(db, strange.live);
    expectTaken(await owner.post(`/v1/campaigns/${owned.second}/restore`, {}));
    expectTaken(await owner.post(`/v1/campaigns/${owned.live}/archive`, {}));
    await work();
    expect((await owner.get(`/v1/archives/${owned.live}`)).body.state).toBe('archived');
    expect((await owner.get(`/v1/archives/${owned.second}`)).status).toBe(404);
    const archives = (await stranger.get('/v1/archives?limit=100')).body.data.map(({ id }: Json) => id);
    expect(archives.toSorted()).toEqual([strange.first, strange.second].toSorted());
    expect(await digestOf(db, strange.live)).toEqual(before);
    expect((await stranger.get('/v1/archives/events?limit=100')).body.data).toHaveLength(2);
  });
});
