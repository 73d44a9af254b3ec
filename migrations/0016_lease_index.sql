-- No Transaction
-- Up Migration

-- Serves the sweep: expired leases of all providers, the longest expired first.
create index concurrently if not exists research_jobs_expiry on research_jobs (lease_until, id) where status = 'processing';
alter table research_providers validate constraint research_providers_circuit;
alter table research_providers validate constraint research_providers_rate;
alter table research_providers validate constraint research_providers_quota;
alter table research_providers validate constraint research_providers_weight;

-- Down Migration

drop index concurrently if exists research_jobs_expiry;
