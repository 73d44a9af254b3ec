-- Up Migration

lock table research_batches in access exclusive mode;

-- Who knows the URL can resume the execution: it is kept for as long as somebody may still be asked. Once the batch is
-- closed and its resume is over, the state alone stays. Of an open batch it stays: what comes later may name it again.
create function aim.forget_resume_url() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $body$
begin
  new.resume_url := null;
  return new;
end
$body$;
revoke all on function aim.forget_resume_url() from public;
create trigger forget_resume_url before insert or update on research_batches for each row
  when (new.resume_url is not null and new.status <> 'open' and new.resume_state in ('done', 'failed'))
  execute function aim.forget_resume_url();

alter table research_batches
  drop constraint research_batches_resume,
  drop constraint research_batches_resume_delivery,
  add constraint research_batches_resume check (
    (resume_url is null or resume_state <> 'none')
    and (resume_url is not null or resume_state in ('none', 'done', 'failed'))
    and (resume_state = 'due') = (resume_at is not null)
    and (resume_state <> 'waiting' or status = 'open')
    and resume_attempts >= 0
  ) not valid,
  add constraint research_batches_resume_delivery check (
    (resume_state = 'due') = (resume_feed_at is not null)
    and (resume_lease_id is null) = (resume_lease_until is null)
    and (resume_lease_id is null or resume_state = 'due')
    and (resume_by is null or resume_state <> 'none')
    and (resume_state <> 'failed' or resume_error is not null)
    and resume_gone_count >= 0
    and length(resume_error) <= 500
  ) not valid;

-- Down Migration

lock table research_batches in access exclusive mode;
drop trigger forget_resume_url on research_batches;
drop function aim.forget_resume_url();
-- What was forgotten does not come back; the old rule wants a URL, so it gets one that nobody has.
alter table research_batches disable trigger guard_updated;
update research_batches set resume_url = 'https://forgotten.invalid/' where resume_url is null and resume_state <> 'none';
alter table research_batches enable trigger guard_updated;
alter table research_batches
  drop constraint research_batches_resume,
  drop constraint research_batches_resume_delivery,
  add constraint research_batches_resume check (
    (resume_url is null) = (resume_state = 'none')
    and (resume_state = 'due') = (resume_at is not null)
    and (resume_state <> 'waiting' or status = 'open')
    and resume_attempts >= 0
  ) not valid,
  add constraint research_batches_resume_delivery check (
    (resume_state = 'due') = (resume_feed_at is not null)
    and (resume_lease_id is null) = (resume_lease_until is null)
    and (resume_lease_id is null or resume_state = 'due')
    and (resume_by is null or resume_url is not null)
    and (resume_state <> 'failed' or resume_error is not null)
    and resume_gone_count >= 0
    and length(resume_error) <= 500
  ) not valid;
