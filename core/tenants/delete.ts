import { fold } from '../campaigns/counts/fold.ts';
import { removeDeleted } from '../campaigns/delete.ts';
import type { Db } from '../db/connect.ts';
import { type Fragment, type Statement, sql } from '../db/sql.ts';
import { foldBatchCounts } from '../research/counts.ts';

const rowsPerChunk = 1_000;
/** Chunks of an archive are up to 1,000 rows as JSON. */
const archiveChunksPerChunk = 50;

export interface TenantDeletion {
  /** Nothing of the tenant is left, but for the user's own row where that stays. */
  done: boolean;
  /** Campaigns that went in this call. */
  campaigns: number;
  /** `foreign`: the table of users is Supabase's, whose own API deletes there. */
  user: 'kept' | 'deleted' | 'foreign' | 'unknown';
}

/** How often it is looked whether those who were writing have ended. */
const lookMs = 50;

/**
 * Deletes all that a tenant has, in bounded transactions, keys first, so that nothing new comes in. Whoever was let in
 * before may still be writing: that is waited for, and looked for. Begun again, it goes on where it stopped. A user's
 * row goes only on request, where the table of users is ours, and needs its owner.
 * @param budgetMs after this long it stops, with `done: false`
 */
export async function deleteTenant(
  db: Db,
  tenantId: string,
  { budgetMs, includeUser = false }: { budgetMs: number; includeUser?: boolean },
): Promise<TenantDeletion> {
  const until = Date.now() + budgetMs;
  /** @returns whether nothing is left */
  const repeat = async (chunk: () => Statement, rows = rowsPerChunk): Promise<boolean> => {
    while (Date.now() < until) if ((await db.query(chunk())).length < rows) return true;
    return false;
  };
  let campaigns = 0;
  const unfinished = (): TenantDeletion => ({ done: false, campaigns, user: 'kept' });

  if (!(await repeat(() => rowsOf(sql.fragment`api_keys`, tenantId)))) return unfinished();
  const letIn = new Set(await writers(db));
  const empty = async (): Promise<boolean> => {
    if (!(await repeat(() => markCampaigns(tenantId)))) return false;
    const { removed, left } = await removeDeleted(db, { tenantId, budgetMs: until - Date.now() });
    campaigns += removed;
    if (left > 0) return false;
    for (const table of tables) if (!(await repeat(() => rowsOf(table, tenantId)))) return false;
    if (!(await repeat(() => idempotencyKeys(tenantId)))) return false;
    if (!(await repeat(() => archiveChunks(tenantId), archiveChunksPerChunk))) return false;
    if (!(await repeat(() => rowsOf(sql.fragment`archived_campaigns`, tenantId)))) return false;
    for (const table of few) await db.query(allRowsOf(table, tenantId));
    // Takes along what campaigns and batches that are gone have left.
    await fold(db, { budgetMs: until - Date.now() });
    await foldBatchCounts(db, { budgetMs: until - Date.now() });
    // Last, for all of the above is written down there.
    return repeat(() => changes(tenantId));
  };
  if (!(await empty())) return unfinished();
  while ((await writers(db)).some((id) => letIn.has(id))) {
    if (Date.now() + lookMs > until) return unfinished();
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
  if (letIn.size > 0 && !(await empty())) return unfinished();
  return { done: true, campaigns, user: includeUser ? await deleteUser(db, tenantId) : 'kept' };
}

/**
 * Whoever has written in this database keeps a lock on the table until he ends, which everybody may see. By the numbers of
 * transactions those in all other databases would be waited for too.
 * @returns the transactions that are writing now
 */
async function writers(db: Db): Promise<string[]> {
  const rows = await db.query<{ id: string }>(sql('tenants.writers')`
    select distinct virtualtransaction as id from pg_locks
    where locktype = 'relation' and mode in ('RowShareLock', 'RowExclusiveLock')
      and database = (select oid from pg_database where datname = current_database())`);
  return rows.map((row) => row.id);
}

const tables = [
  sql.fragment`subscriptions`,
  sql.fragment`research_providers`,
  sql.fragment`dead_letters`,
  sql.fragment`archive_events`,
  sql.fragment`erasures`,
];
/** At most a few rows each. */
const few = [sql.fragment`archive_policies`, sql.fragment`archive_salts`, sql.fragment`research_outbox`];

const rowsOf = (table: Fragment, tenantId: string) => sql('tenants.rows')`
  delete from ${table}
  where id in (select id from ${table} where user_id = ${tenantId} limit ${rowsPerChunk}) returning id`;

const allRowsOf = (table: Fragment, tenantId: string) => sql('tenants.all_rows')`
  delete from ${table} where user_id = ${tenantId}`;

const markCampaigns = (tenantId: string) => sql('tenants.campaigns')`
  update campaigns set deleted_at = now(), version = version + 1, updated_at = now()
  where id in (
    select id from campaigns where user_id = ${tenantId} and deleted_at is null limit ${rowsPerChunk}
  ) returning id`;

const idempotencyKeys = (tenantId: string) => sql('tenants.idempotency_keys')`
  delete from idempotency_keys
  where user_id = ${tenantId}
    and key in (select key from idempotency_keys where user_id = ${tenantId} limit ${rowsPerChunk})
  returning key`;

const archiveChunks = (tenantId: string) => sql('tenants.archive_chunks')`
  delete from archive_chunks
  where (archive_id, table_name, number) in (
    select archive_id, table_name, number from archive_chunks
    where user_id = ${tenantId} limit ${archiveChunksPerChunk}
  ) returning number`;

const changes = (tenantId: string) => sql('tenants.changes')`
  with chunk as materialized (
    select xid, seq from changes where user_id = ${tenantId} order by xid, seq limit ${rowsPerChunk}
  )
  delete from changes c using chunk
  where c.user_id = ${tenantId} and c.xid = chunk.xid and c.seq = chunk.seq returning c.seq`;

async function deleteUser(db: Db, tenantId: string): Promise<TenantDeletion['user']> {
  const [users] = await db.query<{ ours: boolean }>(sql('tenants.users')`
    select coalesce(obj_description('auth.users'::regclass, 'pg_class') like 'aim for leads:%', false) as ours`);
  if (!users?.ours) return 'foreign';
  const rows = await db.query(
    sql('tenants.user')`delete from auth.users where id = ${tenantId} returning id`,
  );
  return rows.length > 0 ? 'deleted' : 'unknown';
}
