-- Up Migration

-- All at once, parents first as writers take them.
lock table campaigns, archived_campaigns, archive_chunks in access exclusive mode;

-- Closed by hand: its work is over, and the nightly run may archive it where the tenant's policy says so.
alter table campaigns add column closed_at timestamptz;
grant update (closed_at) on campaigns to aim_api;

-- Set once an archive is to go for good: nobody sees it any more, and its chunks go in bounded transactions.
alter table archived_campaigns add column purging_at timestamptz;
-- Serves the purge: what is on its way out, oldest first.
create index archived_campaigns_purging on archived_campaigns (purging_at, id) where purging_at is not null;
-- Serves the nightly run: archives and restores that were begun and not finished, oldest first.
create index archived_campaigns_begun on archived_campaigns (created_at, id) where state <> 'archived';
-- Serves the purge: archives of a tenant that are past his retention, oldest first.
create index archived_campaigns_kept on archived_campaigns (user_id, archived_at, id)
  where archived_at is not null and purging_at is null;

create table archive_policies (
  user_id uuid primary key references auth.users (id) on delete cascade,
  idle_days int check (idle_days between 1 and 3650),
  ended_days int check (ended_days between 1 and 3650),
  closed boolean not null default false,
  retention_days int check (retention_days between 1 and 36500),
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table archive_policies is
  'When the nightly run archives a tenant''s campaigns, and how long it keeps archives. No row: never, and for ever.';

create table archive_runs (
  id uuid primary key default uuidv7(),
  state text not null default 'running' check (state in ('running', 'finished', 'stopped')),
  -- The fence: every write of an invocation names its own lease, and changes nothing once another has taken over.
  lease_id uuid not null,
  lease_until timestamptz not null,
  invocations int not null default 1 check (invocations >= 1),
  -- How far it has looked at active campaigns, those first that were not changed for longest.
  after_at timestamptz,
  after_id uuid,
  archived int not null default 0,
  restored int not null default 0,
  purged int not null default 0,
  failed int not null default 0,
  rows bigint not null default 0,
  stop_reason text,
  started_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  finished_at timestamptz,
  check ((state = 'running') = (finished_at is null)),
  check ((state = 'stopped') = (stop_reason is not null)),
  check ((after_at is null) = (after_id is null))
);
comment on table archive_runs is
  'Nightly runs: who has the lease of the one that is open, how far it is, and what each of them did. Of no tenant.';
-- One run at a time; serves the claim of the one that is open.
create unique index archive_runs_open on archive_runs ((true)) where finished_at is null;

create table archive_events (
  id uuid primary key default uuidv7(),
  user_id uuid not null references auth.users (id) on delete cascade,
  run_id uuid,
  campaign_id uuid not null,
  action text not null check (action in ('archive', 'restore', 'purge')),
  outcome text not null check (outcome in ('done', 'failed')),
  reason text not null check (reason in ('idle', 'ended', 'closed', 'asked', 'retention', 'deleted')),
  error_code text,
  error_message text check (length(error_message) <= 2000),
  rows bigint not null default 0,
  ms int not null default 0,
  created_at timestamptz not null default now(),
  check ((outcome = 'failed') = (error_code is not null))
);
comment on table archive_events is
  'What the archive function did to each campaign, what failed and why. Kept for 90 days.';
-- Serves the tenant's report, newest first.
create index archive_events_page on archive_events (user_id, created_at, id);
-- Serves a run, which tries nothing twice that failed.
create index archive_events_run on archive_events (run_id, campaign_id) where run_id is not null;
-- Serves the pruning.
create index archive_events_created on archive_events (created_at, id);

create table archive_salts (
  user_id uuid primary key references auth.users (id) on delete cascade,
  -- 244 random bits: without them nobody tells from a hash which address it is of.
  salt bytea not null default uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
);
comment on table archive_salts is 'What a tenant''s addresses are hashed with, in archive_lookup and in erasures.';

create table archive_lookup (
  archive_id uuid not null,
  table_name text not null,
  number int not null,
  user_id uuid not null,
  hashes int[] not null,
  primary key (archive_id, table_name, number),
  foreign key (archive_id, table_name, number) references archive_chunks (archive_id, table_name, number) on delete cascade
);
comment on table archive_lookup is
  'Which chunk may hold an email or a domain: 32 bits of a salted hash of each, so hits are looked at in the chunk itself.';
-- Serves the search by email or domain.
create index archive_lookup_hashes on archive_lookup using gin (hashes) with (gin_pending_list_limit = 256);

create table erasures (
  id uuid primary key default uuidv7(),
  user_id uuid not null references auth.users (id) on delete cascade,
  -- Salted: the address itself is nowhere.
  email_hash bytea not null check (length(email_hash) = 32),
  -- Where it stands: which pass over the rows, which table of it, behind which row.
  pass int not null default 1 check (pass >= 1),
  -- What it cannot see was not over when the pass began. None: it has not begun.
  pass_snapshot pg_snapshot,
  step int not null default 0 check (step >= 0),
  position jsonb,
  counts jsonb not null default '{}' check (jsonb_typeof(counts) = 'object'),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  finished_at timestamptz
);
comment on table erasures is 'That a person was forgotten: when, by a salted hash of the address, and in how many rows.';
-- One erasure of an address at a time: asking again goes on with it.
create unique index erasures_open on erasures (user_id, email_hash) where finished_at is null;
-- Serves the list.
create index erasures_page on erasures (user_id, created_at, id);

do $body$
declare
  wanted text;
begin
  foreach wanted in array array[
    'archive_policies', 'archive_runs', 'archive_events', 'archive_salts', 'archive_lookup', 'erasures'
  ] loop
    execute format('alter table %I enable row level security', wanted);
    execute format('alter table %I force row level security', wanted);
    execute format('create policy worker on %I to aim_worker using (true) with check (true)', wanted);
    execute format('create policy definer on %I to aim_definer using (true) with check (true)', wanted);
    execute format('revoke all on %I from public', wanted);
    if to_regrole('authenticated') is not null then
      execute format('revoke all on %I from anon, authenticated', wanted);
    end if;
  end loop;
  foreach wanted in array array['archive_policies', 'archive_events', 'erasures'] loop
    execute format('create policy tenant on %I to aim_api using (coalesce(user_id = (select aim.tenant()), false))', wanted);
  end loop;
end
$body$;
grant select, insert, update (idle_days, ended_days, closed, retention_days, version, updated_at) on archive_policies to aim_api;
grant select on archive_events to aim_api;
grant select, insert (user_id, email_hash) on erasures to aim_api;
grant select, insert, update, delete on archive_policies, archive_runs, archive_events, erasures to aim_worker;
-- To delete them with their tenant, never to read one.
grant select (user_id), delete on archive_salts to aim_worker;
grant select, insert on archive_salts to aim_definer;
grant select, insert, update, delete on archive_lookup to aim_definer;

-- Made at its first use.
create function aim.archive_salt(tenant uuid) returns bytea
  language plpgsql volatile security definer set search_path = pg_catalog, public, pg_temp as $body$
declare
  found_salt bytea;
begin
  select salt into found_salt from archive_salts where user_id = tenant;
  if not found then
    insert into archive_salts (user_id) values (tenant) on conflict (user_id) do nothing;
    select salt into found_salt from archive_salts where user_id = tenant;
  end if;
  return found_salt;
end
$body$;

-- What an erasure is known by. Binds the tenant itself, like a search.
create function aim.email_hash(tenant uuid, email text) returns bytea
  language plpgsql volatile security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  perform aim.search_guard(tenant);
  return sha256(aim.archive_salt(tenant) || convert_to('erased:' || lower(email), 'UTF8'));
end
$body$;

-- An email is 'e:' || its lower case, a domain 'd:' || its lower case.
create function aim.archive_token(salt bytea, word text) returns int
  language sql immutable strict parallel safe set search_path = pg_catalog as
  $sql$ select ('x' || encode(substr(sha256(salt || convert_to(word, 'UTF8')), 1, 4), 'hex'))::bit(32)::int $sql$;

-- In the transaction that writes the chunk, so that a chunk and what finds it are there together or neither. A million
-- rows pass here: their values are taken out of the arrays, and the token (aim.archive_token) is made in place.
create function aim.index_chunk() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
declare
  key bytea;
  email_at int;
  domain_at int;
begin
  if new.table_name not in ('companies', 'contacts', 'prospect_research') then
    return null;
  end if;
  key := aim.archive_salt(new.user_id);
  select max(c.place) filter (where c.value ->> 0 = 'email') - 1, max(c.place) filter (where c.value ->> 0 = 'domain') - 1
  into email_at, domain_at from jsonb_array_elements(new.columns) with ordinality c (value, place);
  insert into archive_lookup (archive_id, table_name, number, user_id, hashes)
  select new.archive_id, new.table_name, new.number, new.user_id, coalesce(array_agg(distinct
    ('x' || encode(substr(sha256(key || convert_to(said.word, 'UTF8')), 1, 4), 'hex'))::bit(32)::int), '{}')
  from (
    select distinct words.word
    from jsonb_array_elements(new.rows) r (value)
    cross join lateral (select lower(r.value ->> email_at) as email, lower(r.value ->> domain_at) as domain) found
    cross join lateral (values
      ('e:' || found.email),
      (case when found.email like '%@%' then 'd:' || split_part(found.email, '@', 2) end),
      ('d:' || found.domain)
    ) words (word)
    where words.word is not null
  ) said
  on conflict (archive_id, table_name, number) do update set hashes = excluded.hashes;
  return null;
end
$body$;

-- Chunks that may hold the word, in their order, behind the given one.
create function aim.find_archived(
  tenant uuid, word text, after_archive uuid, after_table text, after_number int, at_most int
) returns table (archive_id uuid, table_name text, number int)
  language plpgsql volatile security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  perform aim.search_guard(tenant);
  return query
    select l.archive_id, l.table_name, l.number
    from archive_lookup l join archived_campaigns a on a.id = l.archive_id and a.purging_at is null
    where l.hashes @> array[aim.archive_token(aim.archive_salt(tenant), lower(word))] and l.user_id = tenant
      and (after_archive is null or (l.archive_id, l.table_name, l.number) > (after_archive, after_table, after_number))
    order by l.archive_id, l.table_name, l.number limit at_most;
end
$body$;

-- The archive of a campaign that is deleted goes with it.
create function aim.purge_deleted() returns trigger
  language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $body$
begin
  update archived_campaigns set purging_at = now(), updated_at = now() where id = new.id and purging_at is null;
  return null;
end
$body$;
grant select, update (purging_at, updated_at) on archived_campaigns to aim_definer;

-- A campaign that was brought back is open again: the next night must not take it away at once.
create function aim.reopen_restored() returns trigger
  language plpgsql set search_path = pg_catalog, public, pg_temp as $body$
begin
  new.closed_at := null;
  return new;
end
$body$;
revoke all on function aim.reopen_restored() from public;

do $body$
declare
  wanted text;
begin
  foreach wanted in array array[
    'aim.archive_salt(uuid)', 'aim.email_hash(uuid, text)', 'aim.index_chunk()', 'aim.purge_deleted()',
    'aim.find_archived(uuid, text, uuid, text, int, int)'
  ] loop
    execute format('alter function %s owner to aim_definer', wanted);
    execute format('revoke all on function %s from public', wanted);
  end loop;
end
$body$;
revoke all on function aim.archive_token(bytea, text) from public;
grant execute on function aim.archive_token(bytea, text) to aim_definer;
grant execute on function aim.email_hash(uuid, text), aim.find_archived(uuid, text, uuid, text, int, int) to aim_api, aim_worker;

create trigger index_chunk after insert or update on archive_chunks
  for each row execute function aim.index_chunk();
create trigger reopen_restored before update of archived on campaigns
  for each row when (old.archived and not new.archived) execute function aim.reopen_restored();
create trigger purge_deleted after update of deleted_at on campaigns
  for each row when (old.deleted_at is null and new.deleted_at is not null) execute function aim.purge_deleted();

-- Down Migration

lock table campaigns, archived_campaigns, archive_chunks in access exclusive mode;
drop trigger purge_deleted on campaigns;
drop trigger reopen_restored on campaigns;
drop function aim.reopen_restored();
drop trigger index_chunk on archive_chunks;
drop function aim.purge_deleted();
drop function aim.find_archived(uuid, text, uuid, text, int, int);
drop function aim.index_chunk();
drop function aim.archive_token(bytea, text);
drop function aim.email_hash(uuid, text);
drop function aim.archive_salt(uuid);
revoke select, update (purging_at, updated_at) on archived_campaigns from aim_definer;
drop table erasures;
drop table archive_lookup;
drop table archive_salts;
drop table archive_events;
drop table archive_runs;
drop table archive_policies;
drop index archived_campaigns_kept;
drop index archived_campaigns_begun;
drop index archived_campaigns_purging;
alter table archived_campaigns drop column purging_at;
revoke update (closed_at) on campaigns from aim_api;
alter table campaigns drop column closed_at;
