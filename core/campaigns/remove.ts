import type { Db } from '../db/connect.ts';
import { isLockTrouble } from '../db/locks.ts';
import { type Fragment, sql } from '../db/sql.ts';

const rowsPerChunk = 2_000;
const jobsPerChunk = 1_000;
const attemptsPerChunk = 5_000;
/** Below deadlock_timeout (1 s): where a removal and a writer meet, the removal gives up, never the writer. */
const lockTimeout = '500ms';
/** A batch that somebody waits for stays so long at most, cancelled, until he was told. */
const heldMinutes = 5;

/** Where a walk in the order of a table's page index stands. */
interface Position {
  createdAt: string;
  id: string;
}
interface Chunk<At> {
  /** undefined: nothing is left behind `after`. */
  next: At | undefined;
}
interface BatchPosition {
  batch: Position | undefined;
  companyId: string | undefined;
}
/** blocked: somebody holds what is left; try again later. */
export type Removal = 'more' | 'gone' | 'blocked';

// Children before parents, so that no cascade is larger than what came in between.
const tables = [
  sql.fragment`prospect_research`,
  sql.fragment`company_research`,
  sql.fragment`contacts`,
  sql.fragment`companies`,
];

/**
 * Removes what belongs to a campaign that is marked as deleted, then the campaign. Whatever was interrupted is simply
 * begun again; several at once do no harm. Jobs go first, for they cost money.
 * @returns a function that does the next step, in one bounded transaction of a few thousand rows
 */
export function removal(db: Db, campaignId: string): () => Promise<Removal> {
  // Carried forward from step to step: a chunk must not walk over the dead rows of those before it.
  let batches: BatchPosition | undefined = { batch: undefined, companyId: undefined };
  let table = 0;
  let position: Position | undefined;

  const step = async (tx: Db): Promise<() => Removal> => {
    const [campaign] = await tx.query(sql('removal.begin')`
      select id, set_config('lock_timeout', ${lockTimeout}, true)
      from campaigns where id = ${campaignId} and deleted_at is not null`);
    if (!campaign) return () => 'gone';
    if (batches) {
      const { next } = await removeBatch(tx, campaignId, batches);
      return () => {
        batches = next;
        return 'more';
      };
    }
    const name = tables[table];
    if (!name) return finish(tx, campaignId);
    const { next } = await removeRows(tx, name, campaignId, position);
    return () => {
      position = next;
      if (!next) table++;
      return 'more';
    };
  };

  return async () => {
    try {
      const committed = await db.transaction(step);
      return committed();
    } catch (error) {
      if (isLockTrouble(error)) return 'blocked';
      throw error;
    }
  };
}

/**
 * A transaction that had the campaign's key when it was marked may have committed rows behind our back. The lock on
 * the key tells that there is no such transaction any more, and lets no new one begin; what it left is removed first.
 */
async function finish(tx: Db, campaignId: string): Promise<() => Removal> {
  const [alone] = await tx.query(sql('removal.alone')`
    select id from campaigns where id = ${campaignId} and deleted_at is not null for update skip locked`);
  if (!alone) return () => 'blocked';
  const [held] = await tx.query(sql('removal.held')`
    select id from research_batches where campaign_id = ${campaignId} and ${isHeld} limit 1`);
  if (held) return () => 'blocked';
  const late = await removeBatch(tx, campaignId, { batch: undefined, companyId: undefined });
  if (late.next) return () => 'more';
  for (const table of tables) {
    const { next } = await removeRows(tx, table, campaignId, undefined);
    if (next) return () => 'more';
  }
  await tx.query(sql('removal.end')`delete from campaigns where id = ${campaignId}`);
  return () => 'gone';
}

const isHeld = sql.fragment`resume_state = 'due' and finished_at > now() - make_interval(mins => ${heldMinutes})`;

/** Rows that another holds are passed over; the last step finds them. */
async function removeRows(
  tx: Db,
  table: Fragment,
  campaignId: string,
  after: Position | undefined,
): Promise<Chunk<Position>> {
  const behind =
    after && sql.fragment`and (created_at, id) > (${after.createdAt}::timestamptz, ${after.id}::uuid)`;
  const [last] = await tx.query<Position & { rows: number }>(sql('removal.rows')`
    with chunk as materialized (
      select id, created_at from ${table} where campaign_id = ${campaignId} ${behind ?? sql.empty}
      order by created_at, id limit ${rowsPerChunk} for update skip locked
    ), removed as (
      delete from ${table} t using chunk where t.id = chunk.id
    )
    select created_at as "createdAt", id, (select count(*) from chunk) as rows
    from chunk order by created_at desc, id desc limit 1`);
  return { next: last && last.rows === rowsPerChunk ? last : undefined };
}

/** Some of a batch's jobs with their attempts or, once it has none left, the batch. */
async function removeBatch(tx: Db, campaignId: string, after: BatchPosition): Promise<Chunk<BatchPosition>> {
  const behind =
    after.batch &&
    sql.fragment`and (created_at, id) > (${after.batch.createdAt}::timestamptz, ${after.batch.id}::uuid)`;
  const [batch] = await tx.query<Position>(sql('removal.batch')`
    select id, created_at as "createdAt" from research_batches
    where campaign_id = ${campaignId} ${behind ?? sql.empty} order by created_at, id limit 1`);
  if (!batch) return { next: undefined };
  if (!after.companyId) {
    // Nobody adds to it any more: it would grow faster than it shrinks.
    await tx.query(sql('removal.seal')`
      update research_batches set sealed_at = coalesce(sealed_at, now()), expanded_at = coalesce(expanded_at, now())
      where id = ${batch.id} and (sealed_at is null or expanded_at is null)`);
    // Whoever sleeps until its end is woken, also who reached his limit and could not be told yet: the sweep sends the
    // resume. Who is being asked this moment stays with whom asks him.
    await tx.query(sql('removal.resume')`
      update research_batches
      set status = 'cancelled', finished_at = now(), updated_at = now(), resume_state = 'due', resume_at = now(),
        resume_feed_at = case when resume_lease_id is null then now() else resume_feed_at end
      where id = ${batch.id} and status = 'open' and resume_state in ('waiting', 'due')`);
  }
  const [last] = await tx.query<{ companyId: string; jobs: number; attempts: number }>(sql('removal.jobs')`
    with chunk as materialized (
      select id, company_id from research_jobs
      where batch_id = ${batch.id}
        and company_id > ${after.companyId ?? '00000000-0000-0000-0000-000000000000'}
      order by company_id limit ${jobsPerChunk} for update skip locked
    ), attempt as materialized (
      select a.id from chunk join research_attempts a on a.job_id = chunk.id limit ${attemptsPerChunk}
    ), tried as (
      delete from research_attempts a using attempt where a.id = attempt.id
    ), removed as (
      delete from research_jobs j using chunk
      where j.id = chunk.id and (select count(*) from attempt) < ${attemptsPerChunk}
    )
    select company_id as "companyId", (select count(*) from chunk) as jobs, (select count(*) from attempt) as attempts
    from chunk order by company_id desc limit 1`);
  if (last?.attempts === attemptsPerChunk) return { next: after };
  if (last?.jobs === jobsPerChunk) return { next: { batch: after.batch, companyId: last.companyId } };
  await tx.query(
    sql(
      'removal.empty_batch',
    )`delete from research_batches where id = ${batch.id} and not coalesce(${isHeld}, false)`,
  );
  return { next: { batch, companyId: undefined } };
}
