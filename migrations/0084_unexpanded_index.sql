-- No Transaction
-- Up Migration

-- Serves the sweep: batches over all companies whose jobs are not all made, of all there ever were.
create index concurrently if not exists research_batches_unexpanded on research_batches (id)
  where status = 'open' and expands_all and expanded_at is null;

-- Down Migration

drop index concurrently if exists research_batches_unexpanded;
