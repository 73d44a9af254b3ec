import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import type { Log } from '../research/queue.ts';

const daysAhead = 14;
const retentionDays = 14;
/** Transactions are expected to end within this time; one that does not holds up everybody's feed. */
const lateMs = 5 * 60_000;

/**
 * Makes the partitions of the days ahead, drops those past retention, deletes some of what is past it in the default,
 * and says when the feed is late. Cheap when there is nothing to do, and safe twice at once.
 */
export async function maintainChanges({ db, log }: { db: Db; log: Log }): Promise<void> {
  const [moved] = await db.query<{ made: number; pruned: number }>(sql('changes.maintain')`
    select aim.make_change_partitions(${daysAhead}) as made, aim.prune_changes(${retentionDays}) as pruned`);
  if (moved && moved.made + moved.pruned > 0) log.info('changes.partitions', { ...moved });

  const [late] = await db.query<{ ms: number }>(sql('changes.mark')`
    with passed as (
      update change_floor set mark = pg_snapshot_xmax(pg_current_snapshot()), marked_at = now()
      where mark <= pg_snapshot_xmin(pg_current_snapshot())
      returning mark
    )
    select (extract(epoch from now() - marked_at) * 1000)::bigint as ms from change_floor
    where not exists (select from passed)`);
  // Some transaction from before the mark still runs, here or in another database of the cluster.
  if (late && late.ms > lateMs) log.warn('changes.delayed', { ms: late.ms });
}
