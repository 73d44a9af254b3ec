-- No Transaction
-- Up Migration

-- Written so that a tenant's page, which would walk the campaigns of all, is never read from it.
-- Serves the nightly run: active campaigns, those first that were not changed for longest.
create index concurrently if not exists campaigns_oldest on campaigns (updated_at, id)
  where (not archived and deleted_at is null) is true;
-- Serves an erasure, which looks into every chunk of a tenant.
create index concurrently if not exists archive_chunks_tenant on archive_chunks (user_id, archive_id, table_name, number);
-- Serves an erasure, which looks into every dead letter of a tenant.
create index concurrently if not exists dead_letters_tenant on dead_letters (user_id, created_at, id);

-- Serves an erasure, which looks into every late result of a tenant, and the deletion of a tenant.
create index concurrently if not exists late_results_tenant on late_results (user_id, attempt_id);
drop index concurrently if exists late_results_user;

-- Down Migration

create index concurrently if not exists late_results_user on late_results (user_id);
drop index concurrently if exists late_results_tenant;
drop index concurrently if exists dead_letters_tenant;
drop index concurrently if exists archive_chunks_tenant;
drop index concurrently if exists campaigns_oldest;
