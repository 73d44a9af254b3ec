-- Up Migration

-- Parents first, as writers take them.
lock table companies, research_batches, research_jobs, research_attempts in access exclusive mode;

-- Jobs and attempts keep their foreign keys, looked at by the statement instead of by the row: a key of Postgres starts
-- a query of its own for every row, which was 60 % of the cost of making jobs, and a third of claiming them. The rules
-- are those of the keys they replace, under READ COMMITTED:
-- * A row below a parent holds the parent's key until it commits. Whoever deletes the parent waits for it, and his own
--   trigger, whose statement begins afterwards, sees the row and takes it along.
-- * A row below a parent that is being deleted waits for that to commit, finds no parent, and is refused (23503).
-- * What a row hangs on does not change.
-- The rows are handed on as arrays, which any plan meets with the parents' index, whatever the statistics were when the
-- session first ran it: a join was kept from when the tables were small, and compared each row with each.
-- Under REPEATABLE READ a deletion would not see the rows that its parents' lock had it wait for, so it is refused.
create function aim.keys_of_jobs() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp set enable_seqscan = off as $body$
declare
  batches uuid[];
  wanted uuid[];
  found_rows bigint;
begin
  select array_agg(distinct batch_id), array_agg(distinct company_id) into batches, wanted from added;
  if wanted is null then
    return null;
  end if;
  perform from research_batches where id = any(batches) order by id for key share;
  get diagnostics found_rows = row_count;
  if found_rows <> cardinality(batches) then
    raise foreign_key_violation using table = 'research_jobs', constraint = 'research_jobs_batch_id_fkey',
      message = 'a job is of a batch that does not exist';
  end if;
  perform from companies where id = any(wanted) order by id for key share;
  get diagnostics found_rows = row_count;
  if found_rows <> cardinality(wanted) then
    raise foreign_key_violation using table = 'research_jobs', constraint = 'research_jobs_company_id_fkey',
      message = 'a job is of a company that does not exist';
  end if;
  return null;
end
$body$;

create function aim.keys_of_attempts() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp set enable_seqscan = off as $body$
declare
  wanted uuid[] := (select array_agg(distinct job_id) from added);
  found_rows bigint;
begin
  if wanted is null then
    return null;
  end if;
  perform from research_jobs where id = any(wanted) order by id for key share;
  get diagnostics found_rows = row_count;
  if found_rows <> cardinality(wanted) then
    raise foreign_key_violation using table = 'research_attempts', constraint = 'research_attempts_job_id_fkey',
      message = 'an attempt is of a job that does not exist';
  end if;
  return null;
end
$body$;

-- What hangs on the rows that a statement deleted goes with them.
create function aim.children_go() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp set enable_seqscan = off as $body$
declare
  gone uuid[] := (select array_agg(id) from removed);
begin
  if gone is null then
    return null;
  end if;
  if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
    raise exception 'rows of % are deleted under READ COMMITTED only', tg_table_name using errcode = '25001';
  end if;
  case tg_table_name
    when 'companies' then delete from research_jobs where company_id = any(gone);
    when 'research_batches' then delete from research_jobs where batch_id = any(gone);
    when 'research_jobs' then delete from research_attempts where job_id = any(gone);
  end case;
  return null;
end
$body$;

create function aim.keys_stay() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $body$
begin
  raise exception 'a row of % keeps its id and what it hangs on', tg_table_name using errcode = '23001';
end
$body$;

-- A lock on a key needs the right to change something.
grant update (updated_at) on companies, research_batches to aim_definer;
grant select (id, batch_id, company_id, campaign_id), delete, update (updated_at) on research_jobs to aim_definer;
grant select (id) on research_batches to aim_definer;
grant delete on research_attempts to aim_definer;
alter function aim.keys_of_jobs() owner to aim_definer;
alter function aim.keys_of_attempts() owner to aim_definer;
alter function aim.children_go() owner to aim_definer;
revoke all on function aim.keys_of_jobs(), aim.keys_of_attempts(), aim.children_go(), aim.keys_stay() from public;

create trigger keys_inserted after insert on research_jobs referencing new table as added
  for each statement execute function aim.keys_of_jobs();
create trigger keys_inserted after insert on research_attempts referencing new table as added
  for each statement execute function aim.keys_of_attempts();
create trigger keys_deleted after delete on companies referencing old table as removed
  for each statement execute function aim.children_go();
create trigger keys_deleted after delete on research_batches referencing old table as removed
  for each statement execute function aim.children_go();
create trigger keys_deleted after delete on research_jobs referencing old table as removed
  for each statement execute function aim.children_go();
create trigger keys_stay before update of id, batch_id, company_id on research_jobs
  for each row when ((old.id, old.batch_id, old.company_id) is distinct from (new.id, new.batch_id, new.company_id))
  execute function aim.keys_stay();
create trigger keys_stay before update of id, job_id on research_attempts
  for each row when ((old.id, old.job_id) is distinct from (new.id, new.job_id)) execute function aim.keys_stay();
create trigger keys_stay before update of id on companies
  for each row when (old.id is distinct from new.id) execute function aim.keys_stay();
create trigger keys_stay before update of id on research_batches
  for each row when (old.id is distinct from new.id) execute function aim.keys_stay();

alter table research_jobs drop constraint research_jobs_batch_id_fkey, drop constraint research_jobs_company_id_fkey;
alter table research_attempts drop constraint research_attempts_job_id_fkey;

-- Parts of up to 1,000 ids are counted over the statement, and campaigns looked up once a part: within each campaign and
-- for each row, as before, this was a seventh of the cost of making jobs.
create or replace function aim.note_states() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  case tg_op
    when 'INSERT' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select g.user_id, g.campaign_id, tg_argv[0], case tg_argv[0] when 'job' then 'queued' else 'insert' end, g.ids
      from (
        select n.user_id, n.campaign_id, array_agg(n.id) as ids
        from (select user_id, campaign_id, id, (row_number() over () - 1) / 1000 as part from after) n
        group by n.user_id, n.campaign_id, n.part
      ) g
      where exists (select from campaigns c where c.id = g.campaign_id and not c.archived and c.deleted_at is null);
    when 'UPDATE' then
      -- Feeding and claiming, the most frequent of all, end nothing and begin nothing anew.
      if not exists (select from after where status in ('completed', 'failed', 'cancelled'))
        and not exists (select from before where status in ('completed', 'failed', 'cancelled')) then
        return null;
      end if;
      insert into changes (user_id, campaign_id, entity, op, ids)
      select g.user_id, g.campaign_id, tg_argv[0], g.status, g.ids
      from (
        select n.user_id, n.campaign_id, n.status, array_agg(n.id) as ids
        from (
          select a.user_id, a.campaign_id, a.status, a.id, (row_number() over () - 1) / 1000 as part
          from after a join before b on b.id = a.id
          where a.status <> b.status and (
            a.status in ('completed', 'failed', 'cancelled')
            or (a.status = 'queued' and b.status in ('completed', 'failed', 'cancelled'))
          )
        ) n
        group by n.user_id, n.campaign_id, n.status, n.part
      ) g
      where exists (select from campaigns c where c.id = g.campaign_id and not c.archived and c.deleted_at is null);
    when 'DELETE' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select g.user_id, g.campaign_id, tg_argv[0], 'delete', g.ids
      from (
        select n.user_id, n.campaign_id, array_agg(n.id) as ids
        from (select user_id, campaign_id, id, (row_number() over () - 1) / 1000 as part from before) n
        group by n.user_id, n.campaign_id, n.part
      ) g
      where exists (select from campaigns c where c.id = g.campaign_id and not c.archived and c.deleted_at is null);
  end case;
  return null;
end
$body$;

-- Down Migration

lock table companies, research_batches, research_jobs, research_attempts in access exclusive mode;
alter table research_jobs
  add constraint research_jobs_batch_id_fkey
    foreign key (batch_id) references research_batches (id) on delete cascade not valid,
  add constraint research_jobs_company_id_fkey
    foreign key (company_id) references companies (id) on delete cascade not valid;
alter table research_attempts add constraint research_attempts_job_id_fkey
  foreign key (job_id) references research_jobs (id) on delete cascade not valid;
drop trigger keys_inserted on research_jobs;
drop trigger keys_inserted on research_attempts;
drop trigger keys_deleted on companies;
drop trigger keys_deleted on research_batches;
drop trigger keys_deleted on research_jobs;
drop trigger keys_stay on research_jobs;
drop trigger keys_stay on research_attempts;
drop trigger keys_stay on companies;
drop trigger keys_stay on research_batches;
drop function aim.keys_of_jobs();
drop function aim.keys_of_attempts();
drop function aim.children_go();
drop function aim.keys_stay();
revoke update (updated_at) on companies, research_batches, research_jobs from aim_definer;
revoke select (id) on research_batches from aim_definer;
revoke select (batch_id, company_id), delete on research_jobs from aim_definer;
revoke delete on research_attempts from aim_definer;
create or replace function aim.note_states() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  case tg_op
    when 'INSERT' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select n.user_id, n.campaign_id, tg_argv[0], case tg_argv[0] when 'job' then 'queued' else 'insert' end, array_agg(n.id)
      from (
        select user_id, campaign_id, id, (row_number() over (partition by campaign_id) - 1) / 1000 as part from after
      ) n
      where exists (select from campaigns c where c.id = n.campaign_id and not c.archived and c.deleted_at is null)
      group by n.user_id, n.campaign_id, n.part;
    when 'UPDATE' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select n.user_id, n.campaign_id, tg_argv[0], n.status, array_agg(n.id)
      from (
        select a.user_id, a.campaign_id, a.status, a.id,
          (row_number() over (partition by a.campaign_id, a.status) - 1) / 1000 as part
        from after a join before b on b.id = a.id
        where a.status <> b.status and (
          a.status in ('completed', 'failed', 'cancelled')
          or (a.status = 'queued' and b.status in ('completed', 'failed', 'cancelled'))
        )
      ) n
      where exists (select from campaigns c where c.id = n.campaign_id and not c.archived and c.deleted_at is null)
      group by n.user_id, n.campaign_id, n.status, n.part;
    when 'DELETE' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select n.user_id, n.campaign_id, tg_argv[0], 'delete', array_agg(n.id)
      from (
        select user_id, campaign_id, id, (row_number() over (partition by campaign_id) - 1) / 1000 as part from before
      ) n
      where exists (select from campaigns c where c.id = n.campaign_id and not c.archived and c.deleted_at is null)
      group by n.user_id, n.campaign_id, n.part;
  end case;
  return null;
end
$body$;
