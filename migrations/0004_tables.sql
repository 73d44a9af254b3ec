-- Up Migration

-- All at once, parents first as writers take them: locks taken one by one would meet theirs and never get through.
lock table campaigns, research_batches, research_jobs in access exclusive mode;

-- What is ours alone: functions, sequences and the partitions of `changes`. Not exposed over HTTP by Supabase.
create schema if not exists aim;

-- The counts as last folded; what is shown adds the deltas that came since. Neither belongs to the version.
alter table campaigns add column companies_count bigint not null default 0;
alter table campaigns add column contacts_count bigint not null default 0;
-- When the counts were last compared with COUNT(*).
alter table campaigns add column counts_checked_at timestamptz not null default now();
-- Set once a deletion is asked for: nobody sees the campaign any more, and its rows go in bounded transactions.
alter table campaigns add column deleted_at timestamptz;

-- What each statement added to or took from a campaign's counts. Append only, so that writers never meet; the sweep
-- folds the rows into the campaign. No foreign keys: they would lock the campaign, and a fold removes orphans.
create table campaign_count_deltas (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  campaign_id uuid not null,
  companies int not null default 0,
  contacts int not null default 0,
  created_at timestamptz not null default now(),
  check (companies <> 0 or contacts <> 0)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
-- Serves the shown counts of a campaign, from the index alone, and the fold.
create index campaign_count_deltas_campaign on campaign_count_deltas (campaign_id) include (companies, contacts);

-- The change feed: one row per statement, tenant, campaign, entity and op. No foreign keys: a change outlives its rows.
create sequence aim.changes_seq;
create table changes (
  at timestamptz not null default now(),
  xid xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('aim.changes_seq'),
  user_id uuid not null,
  campaign_id uuid,
  entity text not null check (entity in
    ('campaign', 'company', 'contact', 'research', 'prospect', 'batch', 'job', 'provider')),
  op text not null check (op in
    ('insert', 'update', 'delete', 'archive', 'restore', 'queued', 'completed', 'failed', 'cancelled')),
  ids uuid[] not null check (cardinality(ids) between 1 and 1000)
) partition by range (at);
-- Serves the feed of a tenant, and the question whether anything of it changed since a transaction.
create index changes_feed on changes (user_id, xid, seq);

-- The highest transaction whose changes were pruned: a cursor below it has lost something.
create table change_floor (
  singleton boolean primary key default true check (singleton),
  xid xid8 not null default '0'
);
insert into change_floor default values;

-- Receivers of changes. A subscription is a cursor into the feed, moved by compare-and-set after each delivery.
create table subscriptions (
  id uuid primary key default uuidv7(),
  user_id uuid not null references auth.users (id) on delete cascade,
  key text not null check (key ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  url text not null check (length(url) <= 2000 and url ~ '^https?://'),
  secret text not null check (secret like 'whsec\_%'),
  events text[] not null check (cardinality(events) between 1 and 50),
  filter jsonb not null default '{}' check (jsonb_typeof(filter) = 'object'),
  status text not null default 'active' check (status in ('active', 'paused', 'disabled')),
  cursor_epoch text not null,
  cursor_xid xid8 not null,
  cursor_seq bigint not null,
  cursor_offset int not null default 0 check (cursor_offset between 0 and 1000),
  lease_until timestamptz,
  lease_id uuid,
  failure_count int not null default 0 check (failure_count >= 0),
  next_at timestamptz not null default now(),
  error_code text,
  error_message text check (length(error_message) <= 2000),
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (user_id, key),
  check ((lease_until is null) = (lease_id is null)),
  check (status <> 'disabled' or error_code is not null)
);
-- Serves the list.
create index subscriptions_page on subscriptions (user_id, created_at, id);
-- Serves the kick of deliveries that are due.
create index subscriptions_due on subscriptions (next_at, id) where status = 'active';

-- A campaign that moved into the archive: the row itself, and what its chunks must add up to.
create table archived_campaigns (
  id uuid primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  name text not null,
  campaign jsonb not null check (jsonb_typeof(campaign) = 'object'),
  state text not null check (state in ('archiving', 'archived', 'restoring')),
  totals jsonb not null default '{}' check (jsonb_typeof(totals) = 'object'),
  checksum bytea check (length(checksum) = 32),
  schema_version text not null,
  archived_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check ((state = 'archiving') = (archived_at is null)),
  check ((archived_at is null) = (checksum is null)),
  -- Lets chunks carry the tenant in their foreign key.
  unique (id, user_id)
);
-- Serves the list of a tenant's archives.
create index archived_campaigns_page on archived_campaigns (user_id, created_at, id);
-- Serves the nightly run: what was begun and not finished.
create index archived_campaigns_unfinished on archived_campaigns (updated_at, id) where state <> 'archived';

-- Up to 1,000 rows of one table, as they were, with what proves them unchanged.
create table archive_chunks (
  archive_id uuid not null,
  table_name text not null check (table_name ~ '^[a-z_]{1,63}$'),
  number int not null check (number >= 1),
  user_id uuid not null,
  row_count int not null check (row_count between 1 and 1000),
  sha256 bytea not null check (length(sha256) = 32),
  rows jsonb not null check (jsonb_typeof(rows) = 'array'),
  created_at timestamptz not null default now(),
  primary key (archive_id, table_name, number),
  foreign key (archive_id, user_id) references archived_campaigns (id, user_id) on delete cascade
);
-- Serves the deletion of a tenant.
create index archive_chunks_user on archive_chunks (user_id);

-- Checks are added without looking at the rows there are; 0011 looks at them, without holding up writers.

-- Where a waiting n8n execution is resumed once the batch has ended, and how far that is.
alter table research_batches add column resume_url text;
alter table research_batches add column resume_state text not null default 'none';
alter table research_batches add column resume_attempts int not null default 0;
alter table research_batches add column resume_at timestamptz;
alter table research_batches
  add constraint research_batches_resume_url check (length(resume_url) <= 4000 and resume_url ~ '^https?://') not valid,
  add constraint research_batches_resume_state check (resume_state in ('none', 'waiting', 'due', 'done', 'failed')) not valid,
  add constraint research_batches_resume check (
    (resume_url is null) = (resume_state = 'none')
    and (resume_state = 'due') = (resume_at is not null)
    and (resume_state <> 'waiting' or status = 'open')
    and resume_attempts >= 0
  ) not valid;

-- The open job of another batch that asks the same; its result ends this one too. No foreign key: jobs are hot.
alter table research_jobs add column leader_id uuid;
alter table research_jobs
  add constraint research_jobs_leader check (leader_id is null or (leader_id <> id and status <> 'processing')) not valid;

-- Down Migration

lock table campaigns, research_batches, research_jobs in access exclusive mode;
alter table research_jobs drop column leader_id;
alter table research_batches
  drop column resume_url, drop column resume_state, drop column resume_attempts, drop column resume_at;
drop table archive_chunks;
drop table archived_campaigns;
drop table subscriptions;
drop table change_floor;
drop table changes;
drop sequence aim.changes_seq;
drop table campaign_count_deltas;
alter table campaigns
  drop column companies_count, drop column contacts_count, drop column counts_checked_at, drop column deleted_at;
drop schema aim;
