import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';

/** Batches whose counts are not those of their jobs, in one snapshot: none, at any moment. */
export const wrongCounts = (db: Db): Promise<{ batch_id: string }[]> =>
  db.query(sql('test.wrong_counts')`
    select batch_id from (
      select batch_id, queued, processing, completed, failed, cancelled, retries from batch_counts
      union all
      select batch_id, -(status = 'queued')::int, -(status = 'processing')::int, -(status = 'completed')::int,
        -(status = 'failed')::int, -(status = 'cancelled')::int, -retry_count
      from research_jobs
    ) both_ways
    group by batch_id
    having sum(queued) <> 0 or sum(processing) <> 0 or sum(completed) <> 0 or sum(failed) <> 0
      or sum(cancelled) <> 0 or sum(retries) <> 0`);
