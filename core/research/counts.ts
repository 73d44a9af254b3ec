import type { Db } from '../db/connect.ts';
import { type FoldedChunk, foldInChunks } from '../db/fold.ts';
import { sql } from '../db/sql.ts';
import type { Log } from './queue.ts';

const rowsPerChunk = 5_000;

/** Jobs of a batch by state, and how often any of them was tried again. */
export interface JobCounts {
  queued: number;
  processing: number;
  completed: number;
  failed: number;
  cancelled: number;
  retries: number;
}

/**
 * @returns the counts of each batch, exact in one snapshot with its jobs; a batch that never had a job is left out
 */
export async function countJobs(db: Db, batchIds: string[]): Promise<Map<string, JobCounts>> {
  if (batchIds.length === 0) return new Map();
  const rows = await db.query<JobCounts & { batch_id: string }>(sql('batches.counts')`
    select batch_id, sum(queued)::bigint as queued, sum(processing)::bigint as processing,
      sum(completed)::bigint as completed, sum(failed)::bigint as failed, sum(cancelled)::bigint as cancelled,
      sum(retries)::bigint as retries
    from batch_counts where batch_id = any(${batchIds}::uuid[]) group by batch_id`);
  return new Map(rows.map(({ batch_id, ...counts }) => [batch_id, counts]));
}

/**
 * Folds what the statements of the last minutes added to the counts of batches into one row of each batch, in chunks
 * that commit on their own: what is shown stays the same, and reading it costs less. Nobody waits for a fold: what another
 * holds it skips, until the next time, as the fold of campaigns does.
 * @returns how many rows are gone; 0 as well while another fold is running
 */
export function foldBatchCounts(db: Db, budget: { budgetMs: number }): Promise<number> {
  return foldInChunks((after) => foldChunk(db, after), budget);
}

function foldChunk(db: Db, after: number): Promise<FoldedChunk> {
  return db.transaction(async (tx) => {
    // Nobody else takes rows away, but for the deletion of a batch; two folds would take the same.
    const [lock] = await tx.query<{ mine: boolean }>(sql('batches.fold_alone')`
      select pg_try_advisory_xact_lock(hashtextextended('aim.batch_counts.fold', 0)) as mine`);
    if (!lock?.mine) return { folded: 0, next: null };
    const [chunk] = await tx.query<{ count: number; last: number; batches: string[] }>(sql(
      'batches.fold_next',
    )`
      select count(*), max(id) as last, array_agg(distinct batch_id) as batches
      from (
        select id, batch_id from batch_counts where not folded and id > ${after} order by id limit ${rowsPerChunk}
      ) chunk`);
    if (!chunk || chunk.count === 0) return { folded: 0, next: null };

    // Lock in one statement, look in the next: a batch that is being deleted is skipped, or stays until we are done.
    const held = await tx.query<{ id: string }>(sql('batches.fold_lock')`
      select id from research_batches where id = any(${chunk.batches}::uuid[]) order by id for key share skip locked`);
    const [done] = await tx.query<{ folded: number }>(sql('batches.fold')`
      with taken as (
        -- By their places: else all counts of these batches would be read, for each chunk.
        delete from batch_counts
        where ctid = any(array(
            select ctid from batch_counts where not folded and id > ${after} and id <= ${chunk.last}
            union all
            select ctid from batch_counts where folded and batch_id = any(${chunk.batches}::uuid[])
          ))
          and (
            batch_id = any(${held.map((batch) => batch.id)}::uuid[])
            -- Of a batch that is gone.
            or not exists (select from research_batches b where b.id = batch_id)
          )
        returning user_id, batch_id, queued, processing, completed, failed, cancelled, retries
      ), kept as (
        insert into batch_counts (user_id, batch_id, queued, processing, completed, failed, cancelled, retries, folded)
        select user_id, batch_id, sum(queued), sum(processing), sum(completed), sum(failed), sum(cancelled), sum(retries),
          true
        from taken where batch_id = any(${held.map((batch) => batch.id)}::uuid[])
        group by user_id, batch_id
      )
      select count(*) as folded from taken`);
    return { folded: done?.folded ?? 0, next: chunk.count < rowsPerChunk ? null : chunk.last };
  });
}

/**
 * Folds some of the counts of one batch, as the sweep does for all, for whoever comes by more of them than he likes to sum.
 * Waits for nobody; and what fails here is nobody's loss, for the sweep comes by every minute.
 */
export async function foldCounts(
  { db, log }: { db: Db; log: Log },
  { id, user_id }: { id: string; user_id: string },
): Promise<void> {
  try {
    await db.query(sql('batches.fold_one')`select aim.fold_counts(${user_id}, ${id})`);
  } catch (error) {
    log.warn('batches.fold_failed', { batchId: id, code: (error as { code?: unknown }).code });
  }
}
