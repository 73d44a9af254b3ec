-- No Transaction
-- Up Migration

drop index concurrently if exists research_jobs_company;

-- Down Migration

-- A hash, for it must not tempt the planner to walk it for a list of jobs.
create index concurrently if not exists research_jobs_company on research_jobs using hash (company_id);
