import { sql } from '../../core/db/sql.ts';
import { search } from '../../core/search/search.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant } from '../support/factories.ts';

const rows = 60_000;

let db: TestDatabase;
let tenantId: string;
let big: string;
let small: string;
/** A tenant with `rows` contacts; the oldest half says old, every 50th some, every 3,000th few; one in 100 is in `small`. */
beforeAll(async () => {
  db = await testDatabase();
  tenantId = await aTenant(db);
  big = await aCampaign(db, tenantId);
  small = await aCampaign(db, tenantId);
  await db.query(sql('test.fill')`
    insert into contacts (user_id, campaign_id, full_name, title, created_at)
    select ${tenantId}, case when n % 100 = 7 then ${small}::uuid else ${big}::uuid end, 'Person ' || n,
      concat_ws(' ', 'all', case when n < ${rows / 2} then 'old' end, case when n % 50 = 0 then 'some' end,
        case when n % 3000 = 0 then 'few' end),
      now() - (${rows} - n) * interval '1 second'
    from generate_series(0, ${rows - 1}::int) n`);
  await db.query(sql('test.vacuum')`vacuum analyze contacts`);
}, 120_000);
afterAll(() => db.close());

const find = (q: string, campaignId?: string) =>
  search(db.asApi.forTenant(tenantId), tenantId, 'contacts', { q, campaignId, limit: 1_000 });

/** Rows of `contacts` that one search reads, by whatever plan. */
async function rowsRead(q: string, campaignId: string | null): Promise<number> {
  return db.transaction(async (tx) => {
    const count = async () => {
      const [row] = await tx.query<{ count: number }>(sql('test.read')`
        select seq_tup_read + idx_tup_fetch as count from pg_stat_xact_user_tables where relid = 'contacts'::regclass`);
      return row?.count ?? 0;
    };
    const before = await count();
    await tx.query(sql('test.search')`
      select id from aim.search_contacts(${tenantId}, ${campaignId}, ${q}, null, null, null, 101)`);
    return (await count()) - before;
  });
}

test('of a common word the newest 1,000 are ranked, found by walking', async () => {
  const { hits, hasMore } = await find('all');
  expect({ count: hits.length, hasMore }).toEqual({ count: 1_000, hasMore: false });
  const newest = await db.query<{ id: string }>(sql('test.newest')`
    select id from contacts where user_id = ${tenantId} order by created_at desc, id desc limit 1000`);
  expect(new Set(hits.map((hit) => hit.id))).toEqual(new Set(newest.map((row) => row.id)));
});

test('a word that only few rows have is found by the index, however old they are', async () => {
  expect((await find('few')).hits).toHaveLength(rows / 3000);
  expect((await find('"person 17"')).hits).toHaveLength(1);
});

test('a word that many rows have, but none of the newest, still gives 1,000', async () => {
  expect((await find('old')).hits).toHaveLength(1_000);
  expect((await find('old -some')).hits).toHaveLength(1_000);
});

test('within a small campaign a word is found however common it is outside', async () => {
  expect((await find('old', small)).hits).toHaveLength(rows / 200);
  expect((await find('some', small)).hits).toHaveLength(0);
  expect((await find('old', big)).hits).toHaveLength(1_000);
});

test('no search reads all rows of the tenant, with or without a campaign', async () => {
  // The newest 1,000 tell which way; then 1,000 matches, 20,000 rows on the walk, 20,001 by the index, twice 5,000 alike.
  const most = { all: 2_000, few: 1_020, some: 2_200, none: 1_000, old: 42_001, 'a b c d e f': 1_000 };
  for (const [q, bound] of Object.entries({ ...most, prson: 11_000, 'pers 1': 11_000 }))
    for (const campaignId of [null, big])
      expect({ q, campaignId, isBounded: (await rowsRead(q, campaignId)) <= bound }).toEqual({
        q,
        campaignId,
        isBounded: true,
      });
  for (const q of Object.keys(most)) expect(await rowsRead(q, small)).toBeLessThanOrEqual(2 * (rows / 100));
  expect(await rowsRead('prson', small)).toBeLessThanOrEqual(600 + 5_000 + 600);
});

test('within a small campaign a typo is found however many are alike outside', async () => {
  const { hits } = await find('prson', small);
  expect(hits).toHaveLength(rows / 100);
  expect(new Set(hits.map((hit) => hit.way))).toEqual(new Set(['similar']));
});

test('pages follow one another without gap or repeat, and the last has no next', async () => {
  const whole = await find('some');
  const ids: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await search(db.asApi.forTenant(tenantId), tenantId, 'contacts', {
      q: 'some',
      limit: 77,
      cursor,
    });
    ids.push(...page.hits.map((hit) => hit.id));
    const last = page.hits.at(-1);
    cursor = page.hasMore && last ? page.after(last) : undefined;
  } while (cursor !== undefined);
  expect(ids).toEqual(whole.hits.map((hit) => hit.id));
  expect(new Set(ids).size).toBe(1_000);
});

test('a page of what is spelled alike goes on with what is spelled alike', async () => {
  const page = await search(db.asApi.forTenant(tenantId), tenantId, 'contacts', { q: 'prson', limit: 10 });
  const [last] = page.hits.slice(-1);
  expect(last?.way).toBe('similar');
  const cursor = last && page.after(last);
  const next = await search(db.asApi.forTenant(tenantId), tenantId, 'contacts', {
    q: 'prson',
    limit: 10,
    cursor,
  });
  expect(next.hits.map((hit) => hit.way)).toEqual(Array(10).fill('similar'));
  expect(next.hits.some((hit) => page.hits.some(({ id }) => id === hit.id))).toBe(false);
});

test('a cursor of another search, campaign or entity is refused, and so is a broken one', async () => {
  const page = await search(db.asApi.forTenant(tenantId), tenantId, 'contacts', { q: 'some', limit: 1 });
  const cursor = page.after(page.hits[0] ?? { id: '', rank: '0', way: 'exact' });
  const refused = { code: 'invalid_cursor' };
  const ask = (
    entity: 'contacts' | 'companies',
    request: { q: string; cursor: string; campaignId?: string },
  ) => search(db.asApi.forTenant(tenantId), tenantId, entity, { limit: 1, ...request });
  await expect(ask('contacts', { q: 'all', cursor })).rejects.toMatchObject(refused);
  await expect(ask('contacts', { q: 'some', campaignId: big, cursor })).rejects.toMatchObject(refused);
  await expect(ask('companies', { q: 'some', cursor })).rejects.toMatchObject(refused);
  for (const broken of ['x', '', 'e30', Buffer.from('{"v":1}').toString('base64url'), `${cursor}AA`])
    await expect(ask('contacts', { q: 'some', cursor: broken })).rejects.toMatchObject(refused);
});

test('a campaign that is being deleted is out of sight at once', async () => {
  await db.query(sql('test.hide')`update campaigns set deleted_at = now() where id = ${small}`);
  expect((await find('old', small)).hits).toEqual([]);
  const everywhere = await find('few');
  const seen = await db.query(sql('test.seen')`
    select id from contacts where campaign_id = ${small} and id = any(${everywhere.hits.map((hit) => hit.id)}::uuid[])`);
  expect(seen).toEqual([]);
  const walked = await find('all');
  const alike = await find('prson');
  for (const { hits } of [walked, alike])
    expect(
      await db.query(sql('test.seen')`
        select id from contacts where campaign_id = ${small} and id = any(${hits.map((hit) => hit.id)}::uuid[])`),
    ).toEqual([]);
  await db.query(sql('test.show')`update campaigns set deleted_at = null where id = ${small}`);
});
