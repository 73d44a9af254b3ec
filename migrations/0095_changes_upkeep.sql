-- Up Migration

-- A day is one of UTC, whatever the time zone of the session. One that was made before under another zone keeps its
-- bounds: its neighbours begin where it ends and end where it begins.
create or replace function aim.make_change_partitions(days_ahead int) returns int
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp
  set lock_timeout = '500ms' set timezone = 'UTC' as $body$
declare
  day date;
  name text;
  since text;
  until text;
  made int := 0;
begin
  -- Two sweeps at once: the second leaves it to the first.
  if not pg_try_advisory_xact_lock(hashtext('aim.change_partitions')) then
    return 0;
  end if;
  for day in select generate_series(current_date, current_date + days_ahead, interval '1 day')::date loop
    name := 'changes_' || to_char(day, 'YYYYMMDD');
    continue when to_regclass(format('aim.%I', name)) is not null;
    since := coalesce((
      select substring(pg_get_expr(relpartbound, oid) from 'TO \(''([^'']+)') from pg_class
      where oid = to_regclass('aim.changes_' || to_char(day - 1, 'YYYYMMDD'))
    ), day::text);
    until := coalesce((
      select substring(pg_get_expr(relpartbound, oid) from 'FROM \(''([^'']+)') from pg_class
      where oid = to_regclass('aim.changes_' || to_char(day + 1, 'YYYYMMDD'))
    ), (day + 1)::text);
    execute format('create table aim.%I (like public.changes including defaults including constraints including storage)', name);
    execute format(
      'with moved as (delete from aim.changes_default where at >= %L and at < %L returning *) insert into aim.%I select * from moved',
      since, until, name);
    execute format('alter table public.changes attach partition aim.%I for values from (%L) to (%L)', name, since, until);
    made := made + 1;
  end loop;
  return made;
exception when lock_not_available then
  return 0;
end
$body$;

-- Drops whole days older than retention, and deletes a part of what is as old in the default, where changes of days that
-- had no partition in time stay; the next sweep goes on. The floor is raised in the same transaction, so that no cursor
-- passes over what it lost without being told.
create or replace function aim.prune_changes(retention_days int) returns int
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp
  set lock_timeout = '500ms' set timezone = 'UTC' as $body$
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
  with gone as (
    delete from aim.changes_default where ctid = any (array(
      select ctid from aim.changes_default where at < current_date - retention_days limit 10000
    )) returning xid
  )
  select xid into highest from gone order by xid desc limit 1;
  if highest is not null then
    update change_floor set xid = greatest(xid, highest);
    pruned := pruned + 1;
  end if;
  return pruned;
exception when lock_not_available then
  return 0;
end
$body$;

-- Down Migration

create or replace function aim.make_change_partitions(days_ahead int) returns int
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
    execute format('create table aim.%I (like public.changes including defaults including constraints including storage)', name);
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

create or replace function aim.prune_changes(retention_days int) returns int
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
