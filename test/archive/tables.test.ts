import { archivedTables, keyOf } from '../../core/archive/chunk.ts';
import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

/** Tables that say which campaign a row is of, and stay where they are; why. */
const stays: Record<string, string> = {
  changes: 'the feed says what happened, and is pruned after 14 days',
  campaign_count_deltas: 'what a campaign counts, folded into it by the sweep',
  archive_events: 'what the archive function did',
};

interface Reference {
  table: string;
  to: string;
  onDelete: string;
}
/** Foreign keys that point at a table whose rows the archiver deletes, but for those of tables it moves before. */
const unknown = () =>
  db.query<Reference>(sql('t')`
    select conrelid::regclass::text as table, confrelid::regclass::text as to, confdeltype::text as "onDelete"
    from pg_constraint where contype = 'f'
      and confrelid = any (select unnest(${[...archivedTables]}::text[])::regclass)
      and not conrelid = any (select unnest(${[...archivedTables]}::text[])::regclass)
    order by 1, 2`);

test('whatever hangs on an archived row is archived before it, so that no cascade takes it', async () => {
  expect(await unknown()).toEqual([]);
  const order = await db.query<Reference>(sql('t')`
    select conrelid::regclass::text as table, confrelid::regclass::text as to, confdeltype::text as "onDelete"
    from pg_constraint where contype = 'f' and conrelid <> confrelid
      and confrelid = any (select unnest(${[...archivedTables]}::text[])::regclass)`);
  const place = (table: string) => archivedTables.indexOf(table as (typeof archivedTables)[number]);
  // All there are, so that one that is dropped is missed here.
  expect(order.map(({ table, to }) => `${table} → ${to}`).sort()).toEqual([
    'company_research → companies',
    'contacts → companies',
    'late_results → research_attempts',
    'prospect_research → company_research',
  ]);
  expect(order.filter(({ table, to }) => place(table) > place(to))).toEqual([]);
  // Kept by triggers (0060_set_keys.sql), which this cannot find.
  expect(place('research_attempts')).toBeLessThan(place('research_jobs'));
  expect(place('research_jobs')).toBeLessThan(Math.min(place('research_batches'), place('companies')));
});

test('a table that comes to hang on an archived one is found by this test', async () => {
  await db.query(sql('t')`
    create table notes (job_id uuid references research_jobs (id) on delete cascade, body text)`);
  expect(await unknown()).toEqual([{ table: 'notes', to: 'research_jobs', onDelete: 'c' }]);
  await db.query(sql('t')`drop table notes`);
});

test('each table with rows of a campaign is archived, or stays for a reason', async () => {
  const tables = await db.query<{ name: string }>(sql('t')`
    select distinct c.relname as name from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relkind in ('r', 'p') and not c.relispartition and a.attname in ('campaign_id', 'job_id')
      and c.relnamespace in ('public'::regnamespace, 'aim'::regnamespace) order by 1`);
  const names = tables.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(['contacts', 'research_jobs', 'late_results']));
  const known = [...archivedTables, ...Object.keys(stays)] as string[];
  expect(names.filter((name) => !known.includes(name))).toEqual([]);
});

test('the key by which the archiver deletes is the primary key', async () => {
  for (const table of archivedTables) {
    const keys = await db.query<{ name: string }>(sql('t')`
      select a.attname as name from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
      where i.indrelid = ${table}::regclass and i.indisprimary`);
    expect([table, keys]).toEqual([table, [{ name: keyOf(table) }]]);
  }
});
