-- Up Migration

lock table research_batches in access exclusive mode;

-- Whoever waits is resumed at this time at the latest, though the batch is still open.
alter table research_batches add column resume_by timestamptz;
-- From when on the sweep puts the resume on the delivery queue (again): no message of it should be under way by then.
alter table research_batches add column resume_feed_at timestamptz;
-- The fence: only who holds the lease says what became of the request.
alter table research_batches add column resume_lease_id uuid;
alter table research_batches add column resume_lease_until timestamptz;
-- Answers in a row that said there is no such execution.
alter table research_batches add column resume_gone_count int not null default 0;
alter table research_batches add column resume_error text;
alter table research_batches
  add constraint research_batches_resume_delivery check (
    (resume_state = 'due') = (resume_feed_at is not null)
    and (resume_lease_id is null) = (resume_lease_until is null)
    and (resume_lease_id is null or resume_state = 'due')
    and (resume_by is null or resume_url is not null)
    and (resume_state <> 'failed' or resume_error is not null)
    and resume_gone_count >= 0
    and length(resume_error) <= 500
  ) not valid;

-- The URL resumes an execution for whoever knows it: the browser sees all of a batch but that.
do $body$
begin
  if to_regrole('authenticated') is null then
    return;
  end if;
  revoke select on research_batches from authenticated;
  grant select (id, user_id, campaign_id, provider_id, kind, status, total, priority, run_at, expands_all,
    expanded_to_created_at, expanded_to_id, expanded_at, sealed_at, deadline, finished_at, created_at, updated_at,
    resume_state, resume_attempts, resume_at, resume_by, resume_error) on research_batches to authenticated;
end
$body$;

-- Down Migration

lock table research_batches in access exclusive mode;
do $body$
begin
  if to_regrole('authenticated') is not null then
    revoke select on research_batches from authenticated;
  end if;
end
$body$;
alter table research_batches
  drop column resume_by, drop column resume_feed_at, drop column resume_lease_id, drop column resume_lease_until,
  drop column resume_gone_count, drop column resume_error;
do $body$
begin
  if to_regrole('authenticated') is not null then
    grant select on research_batches to authenticated;
  end if;
end
$body$;
