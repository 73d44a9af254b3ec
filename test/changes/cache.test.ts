import { reconcile } from '../../core/campaigns/counts/reconcile.ts';
import { sql } from '../../core/db/sql.ts';
import { type Api, aClient, anApi, type Client } from '../api/client.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { someCompanies } from '../support/factories.ts';

let db: TestDatabase;
let api: Api;
let client: Client;
let campaignId: string;
beforeAll(async () => {
  db = await testDatabase({ max: 6 });
  api = anApi(db.asApi);
  client = await aClient(db, api);
  campaignId = await client.campaign('Cached');
});
afterAll(() => db.close());

const list = '/v1/campaigns?limit=10';
const get = (path: string, etag?: string | null, who = client) =>
  who.send('GET', path, undefined, etag ? { 'if-none-match': etag } : {});

/** A tag that stands: while another database of the cluster holds transactions up, a fresh one can be too old at once. */
async function settled(path: string, who = client): Promise<string> {
  for (let look = 0; look < 200; look++) {
    const etag = (await get(path, null, who)).headers.get('etag');
    if (etag === null) throw new Error(`${path} has no ETag`);
    if ((await get(path, etag, who)).status === 304) return etag;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${path} is never settled`);
}

test.each([
  ['the campaign list', () => list],
  ['a campaign', () => `/v1/campaigns/${campaignId}`],
  ['the provider list', () => '/v1/providers'],
])(
  '%s is answered with 304 while nothing has changed, in two statements, and says how it may be kept',
  async (_, path) => {
    const etag = await settled(path());
    api.statements.length = 0;
    const reply = await get(path(), etag);
    expect([reply.status, reply.body]).toEqual([304, null]);
    expect(reply.headers.get('cache-control')).toBe('private, max-age=0, stale-while-revalidate=300');
    expect(reply.headers.get('vary')).toBe('authorization');
    expect(api.statements).toEqual(['keys.authenticate', 'changes.validate']);
  },
);

test('a company that is added changes the list’s counts, and so the list', async () => {
  const etag = await settled(list);
  await someCompanies(db, client.tenantId, campaignId, 1);
  const reply = await get(list, etag);
  expect(reply.status).toBe(200);
  expect(reply.body.data[0].companiesCount).toBe(1);
});

test('folding the counts changes nothing that is shown, and so nothing that is cached', async () => {
  const etag = await settled(list);
  await db.query(sql('test.fold')`
    with taken as (delete from campaign_count_deltas where campaign_id = ${campaignId} returning companies)
    update campaigns set companies_count = companies_count + (select coalesce(sum(companies), 0) from taken) where id = ${campaignId}`);
  expect((await get(list, etag)).status).toBe(304);
});

test('a writer that began before the answer was read, and commits after it, is not missed', async () => {
  await settled(list);
  let written = (): void => undefined;
  let finish = (): void => undefined;
  const isWritten = new Promise<void>((resolve) => {
    written = resolve;
  });
  const slow = db.transaction(async (tx) => {
    await tx.query(
      sql('test.slow')`update campaigns set name = 'slow', version = version + 1 where id = ${campaignId}`,
    );
    written();
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
  });
  await isWritten;
  const during = await get(list);
  expect(during.body.data[0].name).toBe('Cached');
  finish();
  await slow;
  const after = await get(list, during.headers.get('etag'));
  expect([after.status, after.body.data[0].name]).toEqual([200, 'slow']);
});

test('a writer that commits between the look at the clock and the read makes the tag too old, not too new', async () => {
  const etag = await settled(list);
  const reply = await get(list, etag);
  expect(reply.status).toBe(304);
  await db.query(
    sql('test.rename')`update campaigns set name = 'renamed', version = version + 1 where id = ${campaignId}`,
  );
  const changed = await get(list, etag);
  expect(changed.body.data[0].name).toBe('renamed');
  // The old tag never stands again; a new one comes as soon as no older transaction is left, in any database.
  expect((await get(list, etag)).status).toBe(200);
  expect(await settled(list)).not.toBe(etag);
});

test('a tag of another tenant, another URL or other scopes never stands', async () => {
  const etag = await settled(list);
  const other = await aClient(db, api);
  const reader = await aClient(db, api, { tenantId: client.tenantId, scopes: ['read'] });
  expect((await get(list, etag, other)).body.data).toEqual([]);
  expect((await get('/v1/campaigns?limit=11', etag)).status).toBe(200);
  expect((await get(`/v1/campaigns/${campaignId}`, etag)).status).toBe(200);
  expect((await get(list, etag, reader)).status).toBe(200);
  expect((await get(list, etag)).status).toBe(304);
});

test('of several tags the one that stands is the answer’s', async () => {
  const etag = await settled(list);
  const reply = await get(list, `"of a proxy", ${etag}`);
  expect([reply.status, reply.headers.get('etag')]).toEqual([304, etag]);
});

test('a count that was repaired is shown to whoever holds a copy', async () => {
  await db.query(sql('t')`insert into campaign_count_deltas (user_id, campaign_id, companies, contacts)
    values (${client.tenantId}, ${campaignId}, 7, 0)`);
  const path = `/v1/campaigns/${campaignId}`;
  const etag = await settled(path);
  const wrong = (await get(path)).body.companiesCount;
  await reconcile(db.asWorker, { campaignIds: [campaignId], repair: true, budgetMs: 5_000 });
  const again = await get(path, etag);
  expect([again.status, again.body.companiesCount]).toEqual([200, wrong - 7]);
});

test.each([
  '*',
  '""',
  'W/"1-00000001.5.AAAAAAAAAAAAAAAAAAAAAA"',
  '"x", , "y"',
  'W/"zz.99999999999999999999.a"',
])('a tag that we never gave out (%s) is no match', async (etag) => {
  expect((await get(list, etag)).status).toBe(200);
});

test('a tag older than the feed’s retention does not stand, for nobody knows', async () => {
  const own = await testDatabase();
  const who = await aClient(own, anApi(own.asApi));
  await who.campaign();
  const etag = await settled(list, who);
  await own.query(sql('test.floor')`update change_floor set xid = pg_snapshot_xmax(pg_current_snapshot())`);
  expect((await get(list, etag, who)).status).toBe(200);
  await own.close();
});

test('what is not there is not cached', async () => {
  const reply = await get('/v1/campaigns/0198f0c2-6a44-7c11-9d1f-3f1b7a5e2c10');
  expect([reply.status, reply.headers.get('etag')]).toEqual([404, null]);
});
