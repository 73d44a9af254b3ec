-- Up Migration

-- Parents first, as writers take them. Readers go on: triggers are made without shutting them out.
lock table campaigns, companies, contacts in share row exclusive mode;

-- Exact counts without a lock that writers meet at: each statement on companies or contacts appends what it added to
-- or took from each campaign, in its own transaction, so that a snapshot sees rows and deltas together or neither.
-- Statement-level with transition tables: one row per campaign and statement, for COPY and ON CONFLICT too.
-- They run as aim_definer, so that no tenant needs the right to write deltas, which would be the right to forge them.

create function aim.count_inserted() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  insert into campaign_count_deltas (user_id, campaign_id, companies, contacts)
  select user_id, campaign_id,
    case tg_table_name when 'companies' then count(*) else 0 end,
    case tg_table_name when 'contacts' then count(*) else 0 end
  from added group by user_id, campaign_id;
  return null;
end
$body$;

create function aim.count_deleted() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  insert into campaign_count_deltas (user_id, campaign_id, companies, contacts)
  select user_id, campaign_id,
    case tg_table_name when 'companies' then -n else 0 end,
    case tg_table_name when 'contacts' then -n else 0 end
  from (select user_id, campaign_id, count(*) as n from removed group by user_id, campaign_id) counted
  -- Rows that go because their campaign went count for nobody.
  where exists (select from campaigns c where c.id = counted.campaign_id);
  return null;
end
$body$;

-- Fires for every update (a trigger with transition tables cannot name columns); appends only for rows that moved.
create function aim.count_moved() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  insert into campaign_count_deltas (user_id, campaign_id, companies, contacts)
  select user_id, campaign_id,
    case tg_table_name when 'companies' then sum(n) else 0 end,
    case tg_table_name when 'contacts' then sum(n) else 0 end
  from (
    select user_id, campaign_id, -1 as n from before
    union all
    select user_id, campaign_id, 1 from after
  ) moved
  group by user_id, campaign_id having sum(n) <> 0;
  return null;
end
$body$;

alter function aim.count_inserted() owner to aim_definer;
alter function aim.count_deleted() owner to aim_definer;
alter function aim.count_moved() owner to aim_definer;
revoke all on function aim.count_inserted(), aim.count_deleted(), aim.count_moved() from public;
grant insert on campaign_count_deltas to aim_definer;
grant select (id) on campaigns to aim_definer;

create trigger count_inserted after insert on companies
  referencing new table as added for each statement execute function aim.count_inserted();
create trigger count_deleted after delete on companies
  referencing old table as removed for each statement execute function aim.count_deleted();
create trigger count_moved after update on companies
  referencing old table as before new table as after for each statement execute function aim.count_moved();
create trigger count_inserted after insert on contacts
  referencing new table as added for each statement execute function aim.count_inserted();
create trigger count_deleted after delete on contacts
  referencing old table as removed for each statement execute function aim.count_deleted();
create trigger count_moved after update on contacts
  referencing old table as before new table as after for each statement execute function aim.count_moved();

-- Serves the daily proof of the counts: campaigns that waited longest for theirs.
create index campaigns_unproved on campaigns (counts_checked_at, id) where deleted_at is null;
-- Serves the sweep that goes on with deletions, oldest first.
create index campaigns_deleted on campaigns (deleted_at, id) where deleted_at is not null;

-- The deletion of a tenant takes its changes along; whatever else happens, they only age.
grant delete on changes to aim_worker;

-- Down Migration

lock table campaigns, companies, contacts in access exclusive mode;
revoke delete on changes from aim_worker;
drop index campaigns_deleted;
drop index campaigns_unproved;
drop trigger count_moved on contacts;
drop trigger count_deleted on contacts;
drop trigger count_inserted on contacts;
drop trigger count_moved on companies;
drop trigger count_deleted on companies;
drop trigger count_inserted on companies;
drop function aim.count_moved();
drop function aim.count_deleted();
drop function aim.count_inserted();
revoke select (id) on campaigns from aim_definer;
revoke insert on campaign_count_deltas from aim_definer;
