-- No Transaction
-- Up Migration

-- Serves the fold: what earlier folds left of a batch, without a look at all that came since.
create index concurrently if not exists batch_counts_folded on batch_counts (batch_id) where folded;

-- Down Migration

drop index concurrently if exists batch_counts_folded;
