-- No Transaction
-- Up Migration

-- Serves the sweep: resumes whose message got lost, or that wait for longer than the queue can.
create index concurrently if not exists research_batches_resume_due on research_batches (resume_feed_at, id)
  where resume_state = 'due';
-- Serves the sweep: waits that reached their limit while the batch is open.
create index concurrently if not exists research_batches_resume_by on research_batches (resume_by, id)
  where resume_state = 'waiting' and resume_by is not null;
alter table research_batches validate constraint research_batches_resume_delivery;

-- Down Migration

drop index concurrently if exists research_batches_resume_by;
drop index concurrently if exists research_batches_resume_due;
