import type { Db } from '../../db/connect.ts';
import { sql } from '../../db/sql.ts';
import type { Tell } from '../step.ts';
import type { Run } from './run.ts';

/** Of up to 1,000 rows each. */
const chunksPerTransaction = 20;

export interface Doomed {
  id: string;
  tenantId: string;
  reason: 'retention' | 'deleted';
}

/** Archives whose campaign was deleted, and those past their tenant's retention, oldest first. */
export function doomed(db: Db, run: Pick<Run, 'id'>): Promise<Doomed[]> {
  return db.query(sql('archive.doomed')`
    select id, "tenantId", reason from (
      (select a.id, a.user_id as "tenantId", 'deleted' as reason, a.purging_at as since from archived_campaigns a
        where a.purging_at is not null and not exists (
          select from archive_events e where e.run_id = ${run.id} and e.campaign_id = a.id and e.action = 'purge')
        order by a.purging_at, a.id limit 100)
      union all
      (select a.id, a.user_id, 'retention', a.archived_at
        from archive_policies p cross join lateral (
          select a.id, a.user_id, a.archived_at from archived_campaigns a
          where a.user_id = p.user_id and a.archived_at is not null and a.purging_at is null and a.state = 'archived'
            and a.archived_at < now() - make_interval(days => p.retention_days)
            and not exists (
              select from archive_events e where e.run_id = ${run.id} and e.campaign_id = a.id and e.action = 'purge')
          order by a.archived_at, a.id limit 100
        ) a
        where p.retention_days is not null)
    ) archives order by since, id limit 100`);
}

/**
 * Takes an archive away for good, with its campaign: out of sight at once, then chunk after chunk. Begun again, it goes
 * on where it stopped.
 * @param tell in the transaction of its end
 * @returns the rows that went, and whether all have
 */
export async function purge(
  db: Db,
  { id, tenantId, reason }: Doomed,
  { hasTime, tell }: { hasTime: () => boolean; tell?: Tell },
): Promise<{ done: boolean; rows: number }> {
  const startedAt = performance.now();
  const isDue = await db.transaction(async (tx) => {
    // Again under the lock: it may have been restored, or the policy changed, since it was looked at.
    const [archive] = await tx.query<{ purging: boolean; past: boolean }>(sql('archive.purge.lock')`
      select a.purging_at is not null as purging, coalesce(a.state = 'archived' and exists (
        select from archive_policies p where p.user_id = a.user_id
          and a.archived_at < now() - make_interval(days => p.retention_days)), false) as past
      from archived_campaigns a where a.id = ${id} and a.user_id = ${tenantId} for update`);
    if (!archive || !(archive.purging || archive.past)) return false;
    if (reason === 'deleted' || archive.purging) return true;
    await tx.query(sql('archive.purge.mark')`
      update archived_campaigns set purging_at = now(), updated_at = now() where id = ${id}`);
    return true;
  });
  if (!isDue) return { done: true, rows: 0 };
  await db.query(sql('archive.purge.campaign')`
    update campaigns set deleted_at = now(), version = version + 1, updated_at = now()
    where id = ${id} and user_id = ${tenantId} and archived and deleted_at is null`);
  let rows = 0;
  while (hasTime()) {
    const gone = await db.query<{ row_count: number }>(sql('archive.purge.chunks')`
      delete from archive_chunks where (archive_id, table_name, number) in (
        select archive_id, table_name, number from archive_chunks where archive_id = ${id}
        order by table_name, number limit ${chunksPerTransaction}
      ) returning row_count`);
    rows += gone.reduce((sum, chunk) => sum + chunk.row_count, 0);
    if (gone.length === 0) {
      await db.transaction(async (tx) => {
        const ended = await tx.query(sql('archive.purge.end')`
          delete from archived_campaigns where id = ${id} and purging_at is not null returning id`);
        if (ended.length > 0) await tell?.(tx, { rows, ms: performance.now() - startedAt });
      });
      return { done: true, rows };
    }
  }
  return { done: false, rows };
}

/** Reports older than 90 days. */
export async function pruneEvents(db: Db, { hasTime }: { hasTime: () => boolean }): Promise<void> {
  for (let pruned = 1; pruned > 0 && hasTime(); ) {
    const rows = await db.query(sql('archive_events.prune')`
      delete from archive_events where id in (
        select id from archive_events where created_at < now() - interval '90 days'
        order by created_at, id limit 1000) returning id`);
    pruned = rows.length;
  }
}
