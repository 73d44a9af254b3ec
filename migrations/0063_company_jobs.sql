-- Up Migration

-- A deleted company's jobs are found by the batches of its campaign, through the index that every batch has anyway: an
-- index of their own was an eighth of the cost of making jobs, and is written again each time that a job moves.
create or replace function aim.children_go() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp set enable_seqscan = off as $body$
declare
  gone uuid[];
  campaigns uuid[];
begin
  select array_agg(id), array_agg(distinct campaign_id) into gone, campaigns from removed;
  if gone is null then
    return null;
  end if;
  if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
    raise exception 'rows of % are deleted under READ COMMITTED only', tg_table_name using errcode = '25001';
  end if;
  case tg_table_name
    when 'companies' then
      delete from research_jobs j using research_batches b
      where b.campaign_id = any(campaigns) and j.batch_id = b.id and j.company_id = any(gone);
    when 'research_batches' then delete from research_jobs where batch_id = any(gone);
    when 'research_jobs' then delete from research_attempts where job_id = any(gone);
  end case;
  return null;
end
$body$;
grant select (campaign_id) on research_batches to aim_definer;

-- Down Migration

create or replace function aim.children_go() returns trigger
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
revoke select (campaign_id) on research_batches from aim_definer;
