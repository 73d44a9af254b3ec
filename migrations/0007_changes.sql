-- Up Migration

-- Parents first, as writers take them. Readers go on: triggers are made without shutting them out.
lock table campaigns, companies, contacts, research_providers, research_batches, research_jobs, company_research,
  prospect_research in share row exclusive mode;

-- Each statement appends what it did, in its own transaction: a rolled back one leaves nothing. The functions run as
-- aim_definer, so that no tenant may write, and so forge, a change. Rows of a campaign that is archived, deleted or
-- gone make none of their own: taking a million contacts out of sight is one change, of the campaign.

-- Companies, contacts, research and prospects: what a statement did to a campaign, up to 1,000 ids a row. An update is
-- one that raised the version: filling a search vector or folding a count is none.
create function aim.note_rows() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  case tg_op
    when 'INSERT' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select n.user_id, n.campaign_id, tg_argv[0], 'insert', array_agg(n.id)
      from (
        select user_id, campaign_id, id, (row_number() over (partition by campaign_id) - 1) / 1000 as part from after
      ) n
      where exists (select from campaigns c where c.id = n.campaign_id and not c.archived and c.deleted_at is null)
      group by n.user_id, n.campaign_id, n.part;
    when 'UPDATE' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select n.user_id, n.campaign_id, tg_argv[0], 'update', array_agg(n.id)
      from (
        select a.user_id, a.campaign_id, a.id, (row_number() over (partition by a.campaign_id) - 1) / 1000 as part
        from after a join before b on b.id = a.id where a.version <> b.version
      ) n
      where exists (select from campaigns c where c.id = n.campaign_id and not c.archived and c.deleted_at is null)
      group by n.user_id, n.campaign_id, n.part;
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

-- Jobs and batches: the states they reached. Feeding, claiming, leasing and waiting for a retry are nobody's business.
create function aim.note_states() returns trigger
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

-- Campaigns: going into the archive, out of it, or out of sight for good is one change each. Counts are not among them:
-- they follow from the rows, whose changes tell of them.
create function aim.note_campaigns() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  case tg_op
    when 'INSERT' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select user_id, id, 'campaign', 'insert', array[id] from after;
    when 'UPDATE' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select user_id, id, 'campaign', op, array[id]
      from (
        select a.user_id, a.id, case
          when a.deleted_at is not null then case when b.deleted_at is null then 'delete' end
          when a.archived and not b.archived then 'archive'
          when b.archived and not a.archived then 'restore'
          when a.version <> b.version then 'update'
        end as op
        from after a join before b on b.id = a.id
      ) n
      where op is not null;
    when 'DELETE' then
      insert into changes (user_id, campaign_id, entity, op, ids)
      select user_id, id, 'campaign', 'delete', array[id] from before where deleted_at is null;
  end case;
  return null;
end
$body$;

-- Providers belong to no campaign. Permits move all the time and raise no version; a pause is shown, so it is told.
create function aim.note_providers() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  case tg_op
    when 'INSERT' then
      insert into changes (user_id, entity, op, ids)
      select user_id, 'provider', 'insert', array[id] from after;
    when 'UPDATE' then
      insert into changes (user_id, entity, op, ids)
      select a.user_id, 'provider', 'update', array[a.id] from after a join before b on b.id = a.id
      where a.version <> b.version or a.paused_until is distinct from b.paused_until;
    when 'DELETE' then
      insert into changes (user_id, entity, op, ids)
      select user_id, 'provider', 'delete', array[id] from before;
  end case;
  return null;
end
$body$;

grant insert on changes to aim_definer;
grant select on campaigns to aim_definer;
grant usage on sequence aim.changes_seq to aim_definer;
alter function aim.note_rows() owner to aim_definer;
alter function aim.note_states() owner to aim_definer;
alter function aim.note_campaigns() owner to aim_definer;
alter function aim.note_providers() owner to aim_definer;
revoke all on function aim.note_rows(), aim.note_states(), aim.note_campaigns(), aim.note_providers() from public;

do $body$
declare
  noted record;
begin
  for noted in
    select * from (values
      ('campaigns', 'note_campaigns', 'campaign'), ('companies', 'note_rows', 'company'),
      ('contacts', 'note_rows', 'contact'), ('company_research', 'note_rows', 'research'),
      ('prospect_research', 'note_rows', 'prospect'), ('research_batches', 'note_states', 'batch'),
      ('research_jobs', 'note_states', 'job'), ('research_providers', 'note_providers', 'provider')
    ) as n (relation, function, entity)
  loop
    execute format('create trigger note_inserted after insert on %I referencing new table as after
      for each statement execute function aim.%I(%L)', noted.relation, noted.function, noted.entity);
    execute format('create trigger note_updated after update on %I referencing old table as before new table as after
      for each statement execute function aim.%I(%L)', noted.relation, noted.function, noted.entity);
    execute format('create trigger note_deleted after delete on %I referencing old table as before
      for each statement execute function aim.%I(%L)', noted.relation, noted.function, noted.entity);
  end loop;
end
$body$;

-- Changes of days without a partition; there should be none, but none may be lost.
create table aim.changes_default partition of changes default;

-- Makes the partitions from today on, in a schema of their own and without grants: a partition would inherit grants but
-- not policies. Runs as the owner, who alone may attach one; rows that had gone to the default move along. A feed that
-- is being read holds it up for a moment at most: then the next sweep makes what is missing.
create function aim.make_change_partitions(days_ahead int) returns int
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp set lock_timeout = '500ms' as $body$
declare
  day date;
  name text;
  made int := 0;
begin
  -- Two sweeps at once: the second leaves it to the first.
  if not pg_try_advisory_xact_lock(hashtext('aim.change_partitions')) then
    return 0;
  end if;
  for day in select generate_series(current_date, current_date + days_ahead, interval '1 day')::date loop
    name := 'changes_' || to_char(day, 'YYYYMMDD');
    continue when to_regclass(format('aim.%I', name)) is not null;
    execute format('create table aim.%I (like public.changes including defaults including constraints)', name);
    execute format(
      'with moved as (delete from aim.changes_default where at >= %L and at < %L returning *) insert into aim.%I select * from moved',
      day, day + 1, name);
    execute format('alter table public.changes attach partition aim.%I for values from (%L) to (%L)', name, day, day + 1);
    made := made + 1;
  end loop;
  return made;
exception when lock_not_available then
  return 0;
end
$body$;

-- Drops whole days older than retention. The floor is raised in the same transaction, so that no cursor passes over what
-- it lost without being told.
create function aim.prune_changes(retention_days int) returns int
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp set lock_timeout = '500ms' as $body$
declare
  old record;
  highest xid8;
  pruned int := 0;
begin
  if retention_days < 1 then
    raise exception 'retention is at least a day' using errcode = '22023';
  end if;
  if not pg_try_advisory_xact_lock(hashtext('aim.change_partitions')) then
    return 0;
  end if;
  for old in
    select c.oid::regclass as partition from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'public.changes'::regclass and c.relname ~ '^changes_\d{8}$'
      and to_date(right(c.relname, 8), 'YYYYMMDD') < current_date - retention_days
    order by c.relname
  loop
    execute format('select xid from %s order by xid desc limit 1', old.partition) into highest;
    if highest is not null then
      update change_floor set xid = greatest(xid, highest);
    end if;
    execute format('drop table %s', old.partition);
    pruned := pruned + 1;
  end loop;
  return pruned;
exception when lock_not_available then
  return 0;
end
$body$;

-- What a cursor is good in: this cluster, and its line of history. A failover or a restore begins another, in which
-- transaction numbers can come again.
create function aim.cluster_epoch() returns text
  language sql stable set search_path = pg_catalog as $sql$
    select to_hex(system_identifier) || '-' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) from pg_control_system()
  $sql$;

-- Whether a tenant has a change of this transaction or a later one. With the caller's rights; in plpgsql, whose plan over
-- all partitions is kept by the connection.
create function aim.changed_since(tenant uuid, since xid8) returns boolean
  language plpgsql stable set search_path = pg_catalog, public, pg_temp as $body$
begin
  return exists (select from changes where user_id = tenant and xid >= since);
end
$body$;

revoke all on function aim.changed_since(uuid, xid8) from public;
grant execute on function aim.changed_since(uuid, xid8) to aim_api, aim_worker;
revoke all on function aim.make_change_partitions(int), aim.prune_changes(int), aim.cluster_epoch() from public;
grant execute on function aim.make_change_partitions(int), aim.prune_changes(int) to aim_worker;
grant execute on function aim.cluster_epoch() to aim_api, aim_worker, aim_definer;

-- How late the feed is: the sweep marks where transactions are, and looks when all before the mark have ended.
alter table change_floor add column mark xid8 not null default '0';
alter table change_floor add column marked_at timestamptz not null default now();
grant update (mark, marked_at) on change_floor to aim_worker;

select aim.make_change_partitions(14);

-- Down Migration

lock table campaigns, companies, contacts, research_providers, research_batches, research_jobs, company_research,
  prospect_research in access exclusive mode;

alter table change_floor drop column mark, drop column marked_at;
drop function aim.changed_since(uuid, xid8);
drop function aim.cluster_epoch();
drop function aim.prune_changes(int);
drop function aim.make_change_partitions(int);
do $body$
declare
  noted text;
  part record;
begin
  foreach noted in array array[
    'campaigns', 'companies', 'contacts', 'company_research', 'prospect_research', 'research_batches', 'research_jobs',
    'research_providers'
  ] loop
    execute format('drop trigger note_inserted on %I', noted);
    execute format('drop trigger note_updated on %I', noted);
    execute format('drop trigger note_deleted on %I', noted);
  end loop;
  for part in select inhrelid::regclass as name from pg_inherits where inhparent = 'public.changes'::regclass loop
    execute format('drop table %s', part.name);
  end loop;
end
$body$;
drop function aim.note_providers();
drop function aim.note_campaigns();
drop function aim.note_states();
drop function aim.note_rows();
revoke insert on changes from aim_definer;
revoke select on campaigns from aim_definer;
revoke usage on sequence aim.changes_seq from aim_definer;
