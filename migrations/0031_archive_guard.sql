-- Up Migration

-- Parents first, as writers take them. Readers go on: triggers are made without shutting them out.
lock table campaigns, companies, contacts, research_batches, research_jobs, company_research, prospect_research,
  late_results in share row exclusive mode;

-- Refuses what a statement did below an archived campaign (AIM02). It runs after the statement and its foreign keys and
-- holds the campaign's key, which whoever archives takes for himself: so either it comes first and the archiver waits
-- until it committed, or it waits for him and then sees the campaign archived. A campaign that is deleted or gone has
-- rules of its own. Search vectors may be filled. Jobs and batches that are open may move on without a look: a campaign
-- is archived only once it has none, and feeding and claiming are the hottest writes there are.
-- The archiver passes for the one campaign it names, and only as a worker.
create function aim.guard_archived() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
declare
  caller text := coalesce(nullif(current_setting('role', true), 'none'), session_user);
  archiver uuid := nullif(current_setting('aim.archiver', true), '')::uuid;
  touched uuid[];
  refused uuid;
  moved boolean := true;
begin
  if archiver is not null and not pg_has_role(caller, 'aim_worker', 'member') then
    archiver := null;
  end if;
  if tg_op = 'INSERT' then
    select array_agg(distinct campaign_id) into touched from after where campaign_id is distinct from archiver;
  elsif tg_op = 'DELETE' then
    select array_agg(distinct campaign_id) into touched from before where campaign_id is distinct from archiver;
  elsif tg_table_name = 'research_jobs' then
    select array_agg(distinct campaign_id) into touched from before
    where status not in ('queued', 'processing') and campaign_id is distinct from archiver;
  elsif tg_table_name = 'research_batches' then
    select array_agg(distinct campaign_id) into touched from before
    where status <> 'open' and campaign_id is distinct from archiver;
  else
    select array_agg(distinct campaign_id) into touched from (
      select campaign_id from before union all select campaign_id from after
    ) both_ways where campaign_id is distinct from archiver;
  end if;
  if touched is null then
    return null;
  end if;
  -- Locked in one statement and looked at in the next, which sees what came while this one waited.
  perform from campaigns where id = any(touched) order by id for key share;
  select id into refused from campaigns
  where id = any(touched) and archived and deleted_at is null order by id limit 1;
  if refused is null then
    return null;
  end if;
  if tg_op = 'UPDATE' then
    select exists (
      select from before b full join after a on a.id = b.id
      where (a.campaign_id = any(touched) or b.campaign_id = any(touched))
        and to_jsonb(a) - 'search_vector' is distinct from to_jsonb(b) - 'search_vector'
    ) into moved;
  end if;
  if moved then
    raise exception 'campaign % is archived; restore it before changing it', refused using errcode = 'AIM02';
  end if;
  return null;
end
$body$;
-- A lock on the key needs the right to change something.
grant update (archived) on campaigns to aim_definer;
alter function aim.guard_archived() owner to aim_definer;
revoke all on function aim.guard_archived() from public;

do $body$
declare
  guarded text;
begin
  foreach guarded in array array[
    'companies', 'contacts', 'research_batches', 'research_jobs', 'company_research', 'prospect_research'
  ] loop
    execute format('create trigger guard_inserted after insert on %I referencing new table as after
      for each statement execute function aim.guard_archived()', guarded);
    execute format('create trigger guard_updated after update on %I referencing old table as before new table as after
      for each statement execute function aim.guard_archived()', guarded);
    execute format('create trigger guard_deleted after delete on %I referencing old table as before
      for each statement execute function aim.guard_archived()', guarded);
  end loop;
end
$body$;

-- A late result comes after its job ended, so perhaps while its attempt is on its way into the archive, which would
-- take it along and keep nothing of it. It is found by its job.
create function aim.guard_late_results() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
declare
  caller text := coalesce(nullif(current_setting('role', true), 'none'), session_user);
  archiver uuid := nullif(current_setting('aim.archiver', true), '')::uuid;
  touched uuid[];
  refused uuid;
begin
  if archiver is not null and not pg_has_role(caller, 'aim_worker', 'member') then
    archiver := null;
  end if;
  select array_agg(distinct j.campaign_id) into touched from after join research_jobs j on j.id = after.job_id
  where j.campaign_id is distinct from archiver;
  if touched is null then
    return null;
  end if;
  perform from campaigns where id = any(touched) order by id for key share;
  select id into refused from campaigns
  where id = any(touched) and archived and deleted_at is null order by id limit 1;
  if refused is not null then
    raise exception 'campaign % is archived; restore it before changing it', refused using errcode = 'AIM02';
  end if;
  return null;
end
$body$;
grant select (id, campaign_id) on research_jobs to aim_definer;
alter function aim.guard_late_results() owner to aim_definer;
revoke all on function aim.guard_late_results() from public;
create trigger guard_inserted after insert on late_results referencing new table as after
  for each statement execute function aim.guard_late_results();

-- Down Migration

lock table campaigns, companies, contacts, research_batches, research_jobs, company_research, prospect_research,
  late_results in access exclusive mode;
drop trigger guard_inserted on late_results;
drop function aim.guard_late_results();
revoke select (id, campaign_id) on research_jobs from aim_definer;
do $body$
declare
  guarded text;
begin
  foreach guarded in array array[
    'companies', 'contacts', 'research_batches', 'research_jobs', 'company_research', 'prospect_research'
  ] loop
    execute format('drop trigger guard_inserted on %I', guarded);
    execute format('drop trigger guard_updated on %I', guarded);
    execute format('drop trigger guard_deleted on %I', guarded);
  end loop;
end
$body$;
drop function aim.guard_archived();
revoke update (archived) on campaigns from aim_definer;
