-- No Transaction
-- Up Migration

-- A validation of its own reads the table while others write to it.
alter table research_batches validate constraint research_batches_resume_url;
alter table research_batches validate constraint research_batches_resume_state;
alter table research_batches validate constraint research_batches_resume;
alter table research_jobs validate constraint research_jobs_leader;

-- Down Migration

-- Nothing to take back: a valid constraint only says more than one that is not validated.
