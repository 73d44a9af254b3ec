import type { Db } from '../../core/db/connect.ts';
import { type Statement, sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { type Everything, oneOfEverything } from '../support/everything.ts';

/** Run with the rights of aim_definer, who sees all rows: each binds the tenant itself, or serves triggers alone. */
const definers = [
  'aim.archive_salt(uuid)',
  'aim.children_go()',
  'aim.authenticate(bytea)',
  'aim.count_deleted()',
  'aim.count_inserted()',
  'aim.count_jobs()',
  'aim.count_moved()',
  'aim.counts_go()',
  'aim.email_hash(uuid,text)',
  'aim.find_archived(uuid,text,uuid,text,integer,integer)',
  'aim.find_ask(uuid)',
  'aim.fold_counts(uuid,uuid)',
  'aim.guard_archived()',
  'aim.guard_late_results()',
  'aim.index_chunk()',
  'aim.keys_of_attempts()',
  'aim.keys_of_jobs()',
  'aim.note_campaigns()',
  'aim.note_providers()',
  'aim.note_rows()',
  'aim.note_states()',
  'aim.purge_deleted()',
  'aim.company_renamed()',
  'aim.schema_version()',
  'aim.contacts_by_email(uuid,uuid,text[])',
  'aim.company_search_vector()',
  'aim.contact_search_vector()',
  'aim.research_search_current()',
  'aim.research_search_vector()',
  'aim.search_companies(uuid,uuid,text,text,real,uuid,integer)',
  'aim.search_contacts(uuid,uuid,text,text,real,uuid,integer)',
  'aim.search_research(uuid,uuid,text,text,real,uuid,integer)',
];
/** Run with the rights of the tables' owner, who alone makes and drops partitions. */
const owners = ['aim.make_change_partitions(integer)', 'aim.prune_changes(integer)'];

/** Tables that hold nothing of any tenant. */
const shared = ['change_floor', 'archive_runs'];

interface Table {
  name: string;
  /** Columns that the role may give in an insert. */
  insertable: string[];
  updatable: string[];
}

let db: TestDatabase;
let mine: Everything;
let theirs: Everything;
let tables: string[];
beforeAll(async () => {
  db = await testDatabase();
  mine = await oneOfEverything(db, 'mineral');
  theirs = await oneOfEverything(db, 'thermal');
  const rows = await db.query<{ name: string }>(sql('t')`
    select relname as name from pg_class
    where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace and relname <> 'aim_migrations' order by 1`);
  tables = rows.map((row) => row.name);
});
afterAll(() => db.close());

const plain = (text: string, values: unknown[] = []): Statement => ({ statement: 't', text, values });
const first = async <Row>(at: Db, statement: Statement): Promise<Row> =>
  (await at.query<Row>(statement))[0] as Row;
const ask = async <Value>(at: Db, text: string, values: unknown[] = []): Promise<Value> =>
  (await first<{ value: Value }>(at, plain(`select (select ${text}) as value`, values))).value;

/** The tables on which a role has a privilege, for all columns or for some. */
async function allowed(role: string, privilege: 'select' | 'insert' | 'update' | 'delete'): Promise<Table[]> {
  const may = privilege === 'delete' ? `has_table_privilege` : `has_any_column_privilege`;
  return db.query<Table>(
    plain(
      `select c.relname as name,
        array(select attname::text from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped
          and attidentity = '' and attgenerated = '' and has_column_privilege($1, c.oid, attnum, 'insert')) as insertable,
        array(select attname::text from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped
          and has_column_privilege($1, c.oid, attnum, 'update')) as updatable
      from pg_class c where c.relname = any($2) and c.relnamespace = 'public'::regnamespace and ${may}($1, c.oid, $3)
      order by 1`,
      [role, tables, privilege],
    ),
  );
}

test('everything has rows of both tenants, so that the tests below mean something', async () => {
  for (const table of tables.filter((name) => !shared.includes(name))) {
    const count = await ask<number>(db, `count(distinct user_id) from ${table}`);
    expect([table, count]).toEqual([table, 2]);
  }
});

test.each(['aim_api', 'aim_worker', 'aim_definer'])(
  '%s owns no table and can do nothing special',
  async (role) => {
    expect(
      await first(
        db,
        sql(
          't',
        )`select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication from pg_roles where rolname = ${role}`,
      ),
    ).toEqual({
      rolsuper: false,
      rolbypassrls: false,
      rolcreaterole: false,
      rolcreatedb: false,
      rolreplication: false,
    });
    expect(
      await db.query(
        sql('t')`select relname from pg_class where relowner = ${role}::regrole and relkind in ('r', 'p')`,
      ),
    ).toEqual([]);
    expect(
      await db.query(
        sql('t')`select roleid::regrole::text from pg_auth_members where member = ${role}::regrole`,
      ),
    ).toEqual([]);
  },
);

test('the connections of the tests are really these roles', async () => {
  expect(await ask(db.asApi, 'current_user::text')).toBe('aim_api');
  expect(await ask(db.asApi.forTenant(mine.tenantId), 'current_user::text')).toBe('aim_api');
  expect(await ask(db.asWorker, 'current_user::text')).toBe('aim_worker');
});

test('without a tenant the API sees no row of any table', async () => {
  for (const { name } of await allowed('aim_api', 'select')) {
    if (shared.includes(name)) continue;
    expect([name, await ask(db.asApi, `count(*) from ${name}`)]).toEqual([name, 0]);
  }
});

test('bound to a tenant the API sees his rows in every table it may read, and no other', async () => {
  const readable = (await allowed('aim_api', 'select')).map(({ name }) => name);
  expect(tables.filter((name) => !readable.includes(name))).toEqual([
    'api_keys',
    'archive_lookup',
    'archive_runs',
    'archive_salts',
  ]);
  for (const name of readable.filter((each) => !shared.includes(each))) {
    const seen = await ask(
      db.asApi.forTenant(mine.tenantId),
      `array_agg(distinct user_id::text) from ${name}`,
    );
    expect([name, seen]).toEqual([name, [mine.tenantId]]);
  }
});

test('the API writes rows of its tenant alone, and none without one', async () => {
  const bound = db.asApi.forTenant(mine.tenantId);
  for (const { name, insertable } of await allowed('aim_api', 'insert')) {
    const columns = insertable.join(', ');
    for (const [from, at, code] of [
      [theirs, bound, '42501'],
      [mine, db.asApi, '42501'],
      // The row passes the policy, and is there already.
      ...(insertable.includes('id') || name === 'idempotency_keys'
        ? ([[mine, bound, '23505']] as const)
        : []),
    ] as const) {
      const row = await ask(db, `to_jsonb(x) from ${name} x where user_id = $1 limit 1`, [from.tenantId]);
      const insert = plain(
        `insert into ${name} (${columns}) select ${columns} from jsonb_populate_record(null::${name}, $1)`,
        [row],
      );
      await expect([name, await codeOf(at.query(insert))]).toEqual([name, code]);
    }
  }
});

test('no update or delete of the API reaches a row of another tenant', async () => {
  const before = await everyRowOf(theirs.tenantId);
  const bound = db.asApi.forTenant(mine.tenantId);
  for (const { name } of await allowed('aim_api', 'delete')) {
    for (const at of [bound, db.asApi]) {
      const gone = await at.query(
        plain(`delete from ${name} where user_id = $1 returning 1`, [theirs.tenantId]),
      );
      expect([name, gone]).toEqual([name, []]);
    }
  }
  for (const { name, updatable } of await allowed('aim_api', 'update')) {
    const changed = await bound.query(
      plain(`update ${name} set ${updatable[0]} = ${updatable[0]} where user_id = $1 returning 1`, [
        theirs.tenantId,
      ]),
    );
    expect([name, changed]).toEqual([name, []]);
  }
  expect(await everyRowOf(theirs.tenantId)).toEqual(before);
});

test('a tenant cannot hand a row of his over to another', async () => {
  const hand = plain('update contacts set user_id = $1 where user_id = $2', [theirs.tenantId, mine.tenantId]);
  expect(await codeOf(db.asApi.forTenant(mine.tenantId).query(hand))).toBe('42501');
});

test('secrets are not readable: no key by anybody, not even its hash', async () => {
  expect(await codeOf(db.asApi.forTenant(mine.tenantId).query(plain('select id from api_keys')))).toBe(
    '42501',
  );
  expect(await codeOf(db.asWorker.query(plain('select hash from api_keys')))).toBe('42501');
  expect(await codeOf(db.asWorker.query(plain('select id from api_keys')))).toBeNull();
});

test.each(['aim_api', 'aim_worker'])('%s truncates nothing and makes nothing', async (role) => {
  const at = role === 'aim_api' ? db.asApi : db.asWorker;
  for (const name of tables) {
    expect([name, await codeOf(at.query(plain(`truncate ${name} cascade`)))]).toEqual([name, '42501']);
  }
  for (const text of [
    'create table public.t (a int)',
    'create table aim.t (a int)',
    'create function public.f() returns int language sql as $$ select 1 $$',
    'create schema mine',
    'set role postgres',
    'set role aim_definer',
    'alter table contacts disable row level security',
  ]) {
    expect([text, await codeOf(at.query(plain(text)))]).toEqual([text, '42501']);
  }
});

test('what is internal is open to nobody: partitions and tables of the schema aim', async () => {
  const open = await db.query(sql('t')`
    select c.relname, r.name, p.name as privilege
    from pg_class c
    cross join unnest(array['aim_api', 'aim_worker', 'public']) r (name)
    cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) p (name)
    where c.relnamespace = 'aim'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
      and has_table_privilege(r.name, c.oid, p.name)`);
  expect(open).toEqual([]);
  expect(
    await ask(db, `count(*) from pg_class where relnamespace = 'aim'::regnamespace and relkind = 'r'`),
  ).not.toBe(0);
  const strays = await db.query(sql('t')`
    select inhrelid::regclass::text as partition from pg_inherits join pg_class c on c.oid = inhrelid
    where c.relkind in ('r', 'p') and c.relnamespace <> 'aim'::regnamespace`);
  expect(strays).toEqual([]);
});

test('functions with rights of another are these, each with a pinned path and closed to PUBLIC', async () => {
  const found = await db.query<{ name: string; owner: string; pinned: string | null; open: boolean }>(sql(
    't',
  )`
    select p.oid::regprocedure::text as name, p.proowner::regrole::text as owner,
      (select split_part(setting, '=', 2) from unnest(p.proconfig) setting where setting like 'search_path=%') as pinned,
      has_function_privilege('public', p.oid, 'execute') as open
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where p.prosecdef and n.nspname not in ('pg_catalog', 'information_schema')
    order by p.oid::regprocedure::text collate "C"`);
  expect(found.map(({ name }) => name)).toEqual([...definers, ...owners].sort());
  const tableOwner = await ask<string>(
    db,
    `relowner::regrole::text from pg_class where oid = 'changes'::regclass`,
  );
  for (const { name, owner, pinned, open } of found) {
    const expected = owners.includes(name) ? tableOwner : 'aim_definer';
    expect([name, owner, open]).toEqual([name, expected, false]);
    // A path that ends with pg_temp: nobody's temporary table stands before ours.
    expect([name, pinned]).toEqual([name, expect.stringMatching(/^pg_catalog(, \w+)*, pg_temp$/)]);
  }
});

test('no function of the schema aim is open to PUBLIC', async () => {
  const open = await db.query(sql('t')`
    select oid::regprocedure::text from pg_proc
    where pronamespace = 'aim'::regnamespace and has_function_privilege('public', oid, 'execute')`);
  expect(open).toEqual([]);
});

async function codeOf(work: Promise<unknown>): Promise<string | null> {
  return work.then(
    () => null,
    (error: { code?: string }) => error.code ?? String(error),
  );
}

function everyRowOf(tenantId: string): Promise<unknown> {
  const each = tables
    .filter((name) => !shared.includes(name))
    .map((name) => `select '${name}' as name, to_jsonb(x) as row from ${name} x where user_id = $1`);
  return db.query(
    plain(`select name, row from (${each.join(' union all ')}) all_rows order by name, row::text`, [
      tenantId,
    ]),
  );
}
