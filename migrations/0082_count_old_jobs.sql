-- No Transaction
-- Up Migration

-- Jobs that came before the triggers of 0081. One statement, one snapshot: it appends what the counts lack, so that it
-- waits for nobody and nobody for it, and a second run appends nothing.
insert into batch_counts (user_id, batch_id, queued, processing, completed, failed, cancelled, retries)
select user_id, batch_id, sum(queued), sum(processing), sum(completed), sum(failed), sum(cancelled), sum(retries)
from (
  select user_id, batch_id,
    count(*) filter (where status = 'queued') as queued, count(*) filter (where status = 'processing') as processing,
    count(*) filter (where status = 'completed') as completed, count(*) filter (where status = 'failed') as failed,
    count(*) filter (where status = 'cancelled') as cancelled, sum(retry_count) as retries
  from research_jobs group by user_id, batch_id
  union all
  select user_id, batch_id, -queued, -processing, -completed, -failed, -cancelled, -retries from batch_counts
) lacking
group by user_id, batch_id
having sum(queued) <> 0 or sum(processing) <> 0 or sum(completed) <> 0 or sum(failed) <> 0 or sum(cancelled) <> 0
  or sum(retries) <> 0;

-- Down Migration

-- Nothing to take back: the counts are right.
