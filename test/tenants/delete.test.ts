import { spawnSync } from 'node:child_process';
import { sql } from '../../core/db/sql.ts';
import { deleteTenant } from '../../core/tenants/delete.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { type Everything, oneOfEverything } from '../support/everything.ts';
import { aCampaign, aTenant } from '../support/factories.ts';
import { aFullCampaign } from '../support/full-campaign.ts';

let db: TestDatabase;
let going: Everything;
let staying: Everything;
let marks = 0;
beforeAll(async () => {
  db = await testDatabase();
});
beforeEach(async () => {
  going = await oneOfEverything(db, `going${++marks}`);
  staying = await oneOfEverything(db, `staying${marks}`);
});
afterAll(() => db.close());

/** @returns how many rows each table has of a tenant, whichever tables name one; those that have none are left out */
async function rowsOf(tenantId: string): Promise<Record<string, number>> {
  const tables = await db.query<{ name: string }>(sql('t')`
    select a.attrelid::regclass::text as name from pg_attribute a join pg_class c on c.oid = a.attrelid
    where a.attname = 'user_id' and c.relkind in ('r', 'p') and not c.relispartition
      and c.relnamespace in ('public'::regnamespace, 'aim'::regnamespace) order by 1`);
  expect(tables.length).toBeGreaterThan(16);
  const counts: Record<string, number> = {};
  for (const { name } of tables) {
    const text = `select count(*) from ${name} where user_id = $1`;
    const [row] = await db.query<{ count: number }>({ statement: 't', text, values: [tenantId] });
    if (row && row.count > 0) counts[name] = row.count;
  }
  return counts;
}
const isUser = async (id: string) =>
  (await db.query(sql('t')`select id from auth.users where id = ${id}`)).length === 1;

const withoutDeltas = ({ campaign_count_deltas: _, batch_counts: __, ...counts }: Record<string, number>) =>
  counts;

test('a tenant goes from every table there is, and another keeps all his rows', async () => {
  const before = await rowsOf(staying.tenantId);
  expect(Object.keys(before).length).toBeGreaterThan(15);
  expect(Object.keys(await rowsOf(going.tenantId))).toEqual(Object.keys(before));
  const deleted = await deleteTenant(db.asWorker, going.tenantId, { budgetMs: 10_000 });
  expect(deleted).toEqual({ done: true, campaigns: 1, user: 'kept' });
  expect(await rowsOf(going.tenantId)).toEqual({});
  // A fold takes everybody's.
  expect(withoutDeltas(await rowsOf(staying.tenantId))).toEqual(withoutDeltas(before));
  expect([await isUser(going.tenantId), await isUser(staying.tenantId)]).toEqual([true, true]);
});

test('out of time, it says so; begun again, it goes on to the end', async () => {
  for (let n = 0; n < 3; n++) await aFullCampaign(db, going.tenantId, going.provider.id, 700);
  const runs: boolean[] = [];
  let campaigns = 0;
  for (let done = false; !done; runs.push(done)) {
    const deleted = await deleteTenant(db.asWorker, going.tenantId, { budgetMs: 40 });
    done = deleted.done;
    campaigns += deleted.campaigns;
  }
  expect(runs.length).toBeGreaterThan(2);
  expect(campaigns).toBe(4);
  expect(await rowsOf(going.tenantId)).toEqual({});
});

test('nothing is left only once those who were let in before have ended, and what they wrote is gone too', async () => {
  const request = { budgetMs: 300 };
  await db.asApi.forTenant(going.tenantId).transaction(async (late) => {
    await aCampaign(late, going.tenantId, { name: 'Late' });
    expect(await deleteTenant(db.asWorker, going.tenantId, request)).toMatchObject({ done: false });
  });
  const deleted = await deleteTenant(db.asWorker, going.tenantId, { budgetMs: 10_000 });
  expect(deleted).toMatchObject({ done: true, campaigns: 1 });
  expect(await rowsOf(going.tenantId)).toEqual({});
});

test('more campaigns than one round takes', async () => {
  for (let n = 0; n < 250; n++) await aCampaign(db, going.tenantId);
  const deleted = await deleteTenant(db.asWorker, going.tenantId, { budgetMs: 20_000 });
  expect(deleted).toEqual({ done: true, campaigns: 251, user: 'kept' });
});

test('the user goes last, on request, and only the owner of the table may', async () => {
  const request = { budgetMs: 10_000, includeUser: true };
  await expect(deleteTenant(db.asWorker, going.tenantId, request)).rejects.toMatchObject({ code: '42501' });
  expect(await deleteTenant(db, going.tenantId, request)).toEqual({
    done: true,
    campaigns: 0,
    user: 'deleted',
  });
  expect([await isUser(going.tenantId), await isUser(staying.tenantId)]).toEqual([false, true]);
  expect(await deleteTenant(db, going.tenantId, request)).toMatchObject({ done: true, user: 'unknown' });
});

test("where the table of users is Supabase's, its row is left to Supabase", async () => {
  const own = await testDatabase();
  await own.query(sql('t')`comment on table auth.users is null`);
  const tenantId = await aTenant(own);
  const deleted = await deleteTenant(own, tenantId, { budgetMs: 10_000, includeUser: true });
  expect(deleted).toEqual({ done: true, campaigns: 0, user: 'foreign' });
  expect(await own.query(sql('t')`select id from auth.users where id = ${tenantId}`)).toHaveLength(1);
  await own.close();
});

test('the command deletes with --yes alone, and says what it did', async () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, ['scripts/delete-tenant.ts', ...args], {
      env: { ...process.env, DATABASE_URL: db.asWorker.url },
      encoding: 'utf8',
    });
  expect(run(going.tenantId)).toMatchObject({ status: 2, stdout: '' });
  expect(run('not-an-id', '--yes').status).toBe(2);
  expect(Object.keys(await rowsOf(going.tenantId)).length).toBeGreaterThan(15);
  const deleted = run(going.tenantId, '--yes');
  expect([deleted.status, deleted.stdout]).toEqual([
    0,
    `tenant ${going.tenantId}: 1 campaigns and everything else deleted, user kept\n`,
  ]);
  expect(await rowsOf(going.tenantId)).toEqual({});
});
