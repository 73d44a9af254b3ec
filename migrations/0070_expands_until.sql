-- Up Migration

-- Up to when companies count for the last call with `all`: a later one takes in those that came meanwhile. None: up to
-- the batch's own creation, as its first call says.
alter table research_batches add column expands_until timestamptz;

-- Down Migration

alter table research_batches drop column expands_until;
