-- No Transaction
-- Up Migration

-- Serves the sweep: batches that were cancelled lately, of which jobs may be open still.
create index concurrently if not exists research_batches_cancelled on research_batches (finished_at, id)
  where status = 'cancelled';

-- Down Migration

drop index concurrently if exists research_batches_cancelled;
