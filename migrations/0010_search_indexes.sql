-- No Transaction
-- Up Migration

-- Serves the backfill of rows that came before the column; empty afterwards.
create index concurrently if not exists companies_unsearchable on companies (id) where search_vector is null;
-- Serves the backfill of rows that came before the column; empty afterwards.
create index concurrently if not exists contacts_unsearchable on contacts (id) where search_vector is null;
-- Serves the backfill of rows that came before the column; empty afterwards.
create index concurrently if not exists company_research_unsearchable on company_research (id) where search_vector is null;

-- Serves the words of a search: each is kept for each tenant.
create index concurrently if not exists companies_search on companies
  using gin (aim.search_keys(user_id, campaign_id, search_vector)) with (gin_pending_list_limit = 256);
-- Serves the words of a search: each is kept for each tenant.
create index concurrently if not exists contacts_search on contacts
  using gin (aim.search_keys(user_id, campaign_id, search_vector)) with (gin_pending_list_limit = 256);
-- Serves the words of a search: each is kept for each tenant.
create index concurrently if not exists company_research_search on company_research
  using gin (aim.search_keys(user_id, campaign_id, search_vector)) with (gin_pending_list_limit = 256);

-- Serves the typos of a search.
create index concurrently if not exists companies_similar on companies
  using gin (uuid_hash(user_id), aim.search_name(name) gin_trgm_ops) with (gin_pending_list_limit = 256);
-- Serves the typos of a search.
create index concurrently if not exists contacts_similar on contacts
  using gin (uuid_hash(user_id), aim.search_name(full_name) gin_trgm_ops) with (gin_pending_list_limit = 256);

-- Down Migration

drop index concurrently if exists contacts_similar;
drop index concurrently if exists companies_similar;
drop index concurrently if exists company_research_search;
drop index concurrently if exists contacts_search;
drop index concurrently if exists companies_search;
drop index concurrently if exists company_research_unsearchable;
drop index concurrently if exists contacts_unsearchable;
drop index concurrently if exists companies_unsearchable;
