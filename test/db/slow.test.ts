import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Connection, connect } from '../../core/db/connect.ts';
import type { SlowStatement } from '../../core/db/slow.ts';
import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aTenant } from '../support/factories.ts';

let db: TestDatabase;
let watched: Connection;
let tenantId: string;
const slow: SlowStatement[] = [];
beforeAll(async () => {
  db = await testDatabase();
  watched = connect(db.url, { slow: { slowMs: 150, log: (_, fields) => slow.push(fields) } });
  tenantId = await aTenant(db);
});
beforeEach(() => {
  slow.length = 0;
});
afterAll(async () => {
  await watched.close();
  await db.close();
});

const nap = sql('test.nap');

test('a slow statement is logged with its name, its time and its rows, never with its text or values', async () => {
  const secret = 'ada@acme.example';
  const statement = nap`select pg_sleep(0.1), ${secret}::text as email from generate_series(1, 2)`;
  for (const at of [watched, watched.forTenant(tenantId)]) {
    await at.query(statement);
    await at.transaction((tx) => tx.query(statement));
  }
  expect(slow).toHaveLength(4);
  for (const fields of slow) {
    expect(fields).toEqual({ statement: 'test.nap', ms: expect.any(Number), rows: 2 });
    expect(fields.ms).toBeGreaterThanOrEqual(150);
  }
  expect(JSON.stringify(slow)).not.toMatch(/ada|pg_sleep|select/);
});

test('one that fails slowly is logged with its code', async () => {
  const failing = nap`select 1 / (pg_sleep(0.2) is null)::int`;
  await expect(watched.forTenant(tenantId).query(failing)).rejects.toMatchObject({ code: '22012' });
  expect(slow).toEqual([{ statement: 'test.nap', ms: expect.any(Number), failed: '22012' }]);
});

test('a quick one is not, nor is the wait for a connection', async () => {
  await watched.query(sql('test.quick')`select 1 as one`);
  await Promise.all([
    watched.query(nap`select pg_sleep(0.2)`),
    watched.query(sql('test.quick')`select 1 as one`),
  ]);
  expect(slow.map(({ statement }) => statement)).toEqual(['test.nap']);
});

test('a slow commit is one as well', async () => {
  await db.query(sql('t')`create table checked (id int)`);
  await db.query(sql('t')`
    create function nap() returns trigger language plpgsql as $$ begin perform pg_sleep(0.2); return null; end $$`);
  await db.query(sql('t')`
    create constraint trigger later after insert on checked deferrable initially deferred
    for each row execute function nap()`);
  await watched.transaction((tx) => tx.query(sql('test.insert')`insert into checked values (1)`));
  expect(slow.map(({ statement }) => statement)).toEqual(['commit']);
});

test.each([
  ['select 1 as one', 'select /* test.name */ 1 as one'],
  [
    '\n  with a as (select 1 as one) select one from a',
    '\n  with /* test.name */ a as (select 1 as one) select one from a',
  ],
  ['(select 1 as one)', '(select /* test.name */ 1 as one)'],
  ['\n  -- why\n  select 1 as one', '\n  -- why\n  select /* test.name */ 1 as one'],
])('the name stands behind the first word of %j', async (text, named) => {
  const statement = sql('test.name')([text] as unknown as TemplateStringsArray);
  expect(statement.text).toBe(named);
  expect(await db.query(statement)).toEqual([{ one: 1 }]);
});

test('pg_stat_statements is read by name, for statements of a tenant too', async () => {
  await db.query(sql('t')`create extension pg_stat_statements`);
  const name = `test.stats.${tenantId}`;
  const statement = () => sql(name)`select ${Math.random()}::float8 as value`;
  await watched.query(statement());
  await watched.forTenant(tenantId).query(statement());
  await watched.forTenant(tenantId).transaction((tx) => tx.query(statement()));
  const byName = await db.query(sql('t')`
    select substring(query from '/\\* (\\S+) \\*/') as name, sum(calls)::int as calls, sum(rows)::int as rows
    from pg_stat_statements
    where dbid = (select oid from pg_database where datname = current_database())
      and query like ${`%/* ${name} */%`}
    group by 1`);
  expect(byName).toEqual([{ name, calls: 3, rows: 3 }]);
});

/** Files that mention `sql(…)` and have no statement: its own, and migrations, which are run as they are. */
const plain = ['core/db/sql.ts', 'core/db/migrate.ts'];

/** `sql('a.name')` and where it stands; a name that is used twice means two statements that cannot be told apart. */
function namesIn(folder: string): { name: string; file: string }[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => {
      const text = readFileSync(join(folder, file), 'utf8');
      return [...text.matchAll(/\bsql\(\s*([^)]*?)\s*,?\s*\)/g)].map((match) => ({
        name: match[1] ?? '',
        file: join(folder, file),
      }));
    });
}

test('every statement of the code has a name of its own', () => {
  const found = [...namesIn('core'), ...namesIn('lambdas')].filter(({ file }) => !plain.includes(file));
  expect(found.length).toBeGreaterThan(60);
  const unnamed = found.filter(({ name }) => !/^['`][a-z][a-z0-9_]*(\.[a-z0-9_${}]+)*['`]$/i.test(name));
  expect(unnamed).toEqual([]);
  const names = found.map(({ name }) => name);
  expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
});
