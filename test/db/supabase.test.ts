import { type Connection, connect } from '../../core/db/connect.ts';
import { dumpSchema } from '../../core/db/dump.ts';
import { applyMigrations } from '../../core/db/migrate.ts';
import { sql } from '../../core/db/sql.ts';
import { aWorld } from '../support/factories.ts';
import { type Supabase, supabaseOn15 } from '../support/postgres15.ts';

let supabase: Supabase;
let owner: Connection;
let admin: Connection;
beforeAll(async () => {
  supabase = await supabaseOn15();
  owner = connect(supabase.url);
  admin = connect(supabase.adminUrl);
});
afterAll(async () => {
  await Promise.all([owner.close(), admin.close()]);
  await supabase.stop();
});

/** Runs a statement as a signed-in user of the browser. */
function asBrowser<Row>(role: string, userId: string, statement: Parameters<Connection['query']>[0]) {
  return admin.transaction(async (tx) => {
    await tx.query(
      sql('test.claims')`select set_config('request.jwt.claims', ${JSON.stringify({ sub: userId })}, true)`,
    );
    await tx.query({ statement: 'test.role', text: `set local role ${role}`, values: [] });
    return tx.query<Row>(statement);
  });
}

test('on Postgres 15 as Supabase sets it up, all migrations go up, down and up again, and leave what is not ours', async () => {
  const before = await dumpSchema(admin);
  const up = await applyMigrations(supabase.url);
  const after = await dumpSchema(admin);
  expect(await applyMigrations(supabase.url, { direction: 'down', count: 99 })).toHaveLength(up.length);
  expect(await dumpSchema(admin)).toBe(before);
  expect(await applyMigrations(supabase.url)).toEqual(up);
  expect(await dumpSchema(admin)).toBe(after);
});

test('a signed-in user reads his own rows in the browser, and no secret', async () => {
  const mine = await aWorld(owner, { companies: 2 });
  const theirs = await aWorld(owner, { companies: 3 });
  const companies = sql('test.companies')`select user_id from companies`;
  expect(await asBrowser('authenticated', mine.tenantId, companies)).toEqual([
    { user_id: mine.tenantId },
    { user_id: mine.tenantId },
  ]);
  expect(await asBrowser('authenticated', theirs.tenantId, companies)).toHaveLength(3);
  const batches = sql('test.batches')`select id, status, total, resume_state from research_batches`;
  expect(await asBrowser('authenticated', mine.tenantId, batches)).toEqual([]);
  expect(
    await asBrowser(
      'authenticated',
      mine.tenantId,
      sql('test.providers')`select name from research_providers`,
    ),
  ).toHaveLength(1);
  await expect(
    asBrowser('authenticated', mine.tenantId, sql('test.secret')`select secret from research_providers`),
  ).rejects.toMatchObject({ code: '42501' });
});

test.each([
  sql('test.write')`update campaigns set name = 'mine now'`,
  sql('test.write')`delete from companies`,
  sql('test.write')`truncate contacts`,
  sql('test.read')`select hash from api_keys`,
  sql('test.read')`select resume_url from research_batches`,
  sql('test.read')`select name from aim_migrations`,
])('a signed-in user may not: $text', async (statement) => {
  const { tenantId } = await aWorld(owner, { companies: 1 });
  await expect(asBrowser('authenticated', tenantId, statement)).rejects.toMatchObject({ code: '42501' });
});

test('Supabase’s roles hold nothing on our tables but what was granted by name, and nobody may truncate', async () => {
  const grants = await admin.query(sql('test.grants')`
    select c.relname, r.rolname, a.privilege_type from pg_class c
    cross join lateral aclexplode(c.relacl) a join pg_roles r on r.oid = a.grantee
    where c.relnamespace in ('public'::regnamespace, 'aim'::regnamespace) and c.relkind in ('r', 'p', 'S')
      and (r.rolname = 'anon' or (r.rolname = 'authenticated' and a.privilege_type <> 'SELECT')
        or (a.privilege_type = 'TRUNCATE' and a.grantee <> c.relowner and r.rolname <> 'service_role'))`);
  expect(grants).toEqual([]);
  const functions = await admin.query(sql('test.functions')`
    select p.oid::regprocedure::text from pg_proc p
    where p.prosecdef and p.pronamespace in ('public'::regnamespace, 'aim'::regnamespace)
      and (has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute'))`);
  expect(functions).toEqual([]);
});

test('Supabase’s live updates carry campaigns and batches', async () => {
  const rows = await admin.query(sql('test.publication')`
    select tablename from pg_publication_tables where pubname = 'supabase_realtime' order by 1`);
  expect(rows).toEqual([{ tablename: 'campaigns' }, { tablename: 'research_batches' }]);
});
