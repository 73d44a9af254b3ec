import { fold } from '../campaigns/counts/fold.ts';
import { reconcile } from '../campaigns/counts/reconcile.ts';
import { removeDeleted } from '../campaigns/delete.ts';
import { maintainChanges } from '../changes/maintain.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import type { DeliveryQueue } from '../deliveries/queue.ts';
import { sendDueResumes } from '../resumes/send.ts';
import { backfillSearch } from '../search/backfill.ts';
import { pruneAttempts } from './attempts.ts';
import { foldBatchCounts } from './counts.ts';
import { feedAll } from './feed.ts';
import { expireLeases, unfeedLost, unfeedUnsent } from './leases.ts';
import { cancelLeft, endMissed, expandUnfinished, failOverdue, sealOverdue } from './overdue.ts';
import type { Log, ResearchQueue } from './queue.ts';

const rowsPerChunk = 1_000;

/**
 * The safety net, once a minute: ends expired leases, takes back what the conveyor lost, cancels what cancelled batches
 * have left open, goes on with unfinished batches, ends those past their deadline or whose end was missed, resumes who
 * waits for them, feeds, forgets old idempotency keys and attempts, removes what
 * was deleted, folds the counts and proves some of them, keeps the change feed's partitions and fills search vectors.
 * Every step works in chunks that commit on their own and skip locked rows, so two sweeps at once do no harm, and no
 * step keeps the others from their turn: not one that fails, nor one that has more to do than there is time for.
 * @param remainingMs how long this invocation may still run
 * @throws the first error, once every step had its turn
 */
export async function sweep(
  deps: { db: Db; queue: ResearchQueue; deliveries: DeliveryQueue; log: Log },
  { remainingMs }: { remainingMs: () => number },
): Promise<void> {
  const { db, log } = deps;
  const hasTime = () => remainingMs() > 5_000;
  const failures: unknown[] = [];
  const step = async <Result>(name: string, work: () => Promise<Result>): Promise<Result | undefined> => {
    try {
      return await work();
    } catch (error) {
      failures.push(error);
      const { name: type, code } = error as { name?: string; code?: unknown };
      log.warn('sweep.step_failed', { step: name, error: type, code });
      return undefined;
    }
  };
  /** So that no step takes all the time, whatever it finds to do. */
  const slice = (ms: number) => {
    const until = remainingMs() - ms;
    return { hasTime: () => hasTime() && remainingMs() > until };
  };
  /** Until a chunk comes that is less than a whole one, or its slice is over. */
  const repeat = async (chunkOf: () => Promise<number>, { whole = rowsPerChunk, ms = 5_000 } = {}) => {
    const own = slice(ms);
    let rows = 0;
    for (let chunk = whole; chunk >= whole && own.hasTime(); rows += chunk) chunk = await chunkOf();
    return rows;
  };
  const atMost = (ms: number) => ({ budgetMs: Math.min(ms, Math.max(0, remainingMs() - 10_000)) });

  const expired = await step('leases', () => repeat(() => expireLeases(db)));
  const lost = await step('unfeed', () => repeat(() => unfeedLost(db)));
  const unsent = await step('unsent', () => repeat(() => unfeedUnsent(db), { whole: 1 }));
  const cancelled = await step('cancelled', () => repeat(() => cancelLeft(db)));
  const overdue = await step('overdue', () => repeat(() => failOverdue(db)));
  await step('seal', () => sealOverdue(db));
  const expanded = await step('expand', () => expandUnfinished(db, slice(10_000)));
  const ended = await step('missed', () => endMissed(db, slice(5_000)));
  const resumed = await step('resume', () => sendDueResumes(deps, slice(5_000)));
  const fed = await step('feed', () => feedAll(deps, slice(15_000)));
  const forgotten = await step('keys', () => repeat(() => forgetKeys(db)));
  const pruned = await step('attempts', () => pruneAttempts(db, slice(5_000)));
  const removed = await step('remove', () => removeDeleted(db, atMost(20_000)));
  const folded = await step('fold', () => fold(db, atMost(5_000)));
  const foldedBatches = await step('fold_batches', () => foldBatchCounts(db, atMost(5_000)));
  await step('counts', () => proveCounts(deps, atMost(5_000)));
  await step('changes', () => maintainChanges(deps));
  const searchable = await step('search', () => backfillSearch(deps, { hasTime }));
  log.info('research.swept', {
    expired,
    lost,
    unsent,
    cancelled,
    overdue,
    expanded,
    ended,
    resumed,
    fed: fed?.jobs,
    forgotten,
    pruned,
    removed: removed?.removed,
    folded,
    foldedBatches,
    searchable,
    failed: failures.length,
  });
  if (failures.length > 0) throw failures[0];
}

async function proveCounts({ db, log }: { db: Db; log: Log }, budget: { budgetMs: number }): Promise<void> {
  const { off, unproved } = await reconcile(db, { repair: true, ...budget });
  if (off.length > 0) log.warn('counts.repaired', { counts: off });
  if (unproved.length > 0) log.warn('counts.unproved', { campaignIds: unproved });
}

async function forgetKeys(db: Db): Promise<number> {
  const rows = await db.query(sql('sweep.keys')`
    with old as (
      select user_id, key from idempotency_keys where created_at < now() - interval '1 day'
      limit ${rowsPerChunk} for update skip locked
    )
    delete from idempotency_keys k using old where k.user_id = old.user_id and k.key = old.key returning k.key`);
  return rows.length;
}
