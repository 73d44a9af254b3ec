-- Up Migration

create table research_providers (
  id uuid primary key default uuidv7(),
  user_id uuid not null references auth.users (id) on delete cascade,
  name text not null check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  kind text not null check (kind in ('webhook', 'clay')),
  url text not null check (length(url) <= 2000 and url ~ '^https?://'),
  -- Signs our asks and the provider's callbacks; a shared secret, so it cannot be hashed. Never returned once shown.
  secret text not null check (secret like 'whsec\_%'),
  batch_size int not null default 10 check (batch_size between 1 and 100),
  rate_per_second double precision check (rate_per_second > 0),
  concurrency int check (concurrency > 0),
  timeout_ms int not null default 30000 check (timeout_ms between 100 and 90000),
  lease_seconds int not null default 1200 check (lease_seconds between 1 and 86400),
  max_retries int not null default 3 check (max_retries between 0 and 20),
  paused_until timestamptz,
  -- Token bucket of the rate: what was left at that time.
  permits double precision not null default 0,
  permits_at timestamptz not null default now(),
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (user_id, name),
  -- Lets a batch carry the tenant in its foreign key.
  unique (id, user_id)
);
-- Serves the list.
create index research_providers_page on research_providers (user_id, created_at, id);

create table research_batches (
  id uuid primary key default uuidv7(),
  user_id uuid not null,
  campaign_id uuid not null,
  provider_id uuid not null,
  kind text not null check (kind ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  status text not null default 'open' check (status in ('open', 'completed', 'cancelled')),
  total bigint not null default 0 check (total >= 0),
  priority smallint not null default 0 check (priority between 0 and 9),
  run_at timestamptz not null default now(),
  -- A batch over all companies grows in chunks: how far it got, and when it had them all.
  expands_all boolean not null default false,
  expanded_to_created_at timestamptz,
  expanded_to_id uuid,
  expanded_at timestamptz,
  sealed_at timestamptz,
  deadline timestamptz not null default now() + interval '7 days',
  finished_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  foreign key (campaign_id, user_id) references campaigns (id, user_id) on delete cascade,
  foreign key (provider_id, user_id) references research_providers (id, user_id) on delete cascade,
  check ((status = 'open') = (finished_at is null)),
  check (status <> 'completed' or (sealed_at is not null and expanded_at is not null)),
  check ((expanded_to_created_at is null) = (expanded_to_id is null))
);
-- Serves pages of a tenant's batches.
create index research_batches_tenant_page on research_batches (user_id, created_at, id);
-- Serves pages of a campaign's batches, and the foreign key.
create index research_batches_campaign_page on research_batches (campaign_id, created_at, id);
-- Serves the sweep: batches to expand, to end, and past their deadline.
create index research_batches_open on research_batches (deadline, id) where status = 'open';
-- Serves the foreign key.
create index research_batches_provider on research_batches (provider_id);

create table research_jobs (
  id uuid primary key default uuidv7(),
  user_id uuid not null,
  batch_id uuid not null references research_batches (id) on delete cascade,
  company_id uuid not null references companies (id) on delete cascade,
  -- Copies of the batch's, fixed for the job's life: they save a join on the hot path and need no foreign key.
  campaign_id uuid not null,
  provider_id uuid not null,
  kind text not null,
  status text not null default 'queued' check (status in ('queued', 'processing', 'completed', 'failed', 'cancelled')),
  priority smallint not null default 0 check (priority between 0 and 9),
  -- Attempts used up by transient failures; `throttles` and `crashes` use up none.
  retry_count int not null default 0 check (retry_count >= 0),
  throttle_count int not null default 0 check (throttle_count >= 0),
  crash_count int not null default 0 check (crash_count >= 0),
  error_code text,
  error_message text check (length(error_message) <= 2000),
  run_at timestamptz not null default now(),
  fed_until timestamptz,
  -- The fence: a settle must name the latest attempt. Kept while the job waits for its retry, so a late result fits.
  attempt_id uuid,
  lease_until timestamptz,
  accepted_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  finished_at timestamptz,
  check ((status = 'processing') = (lease_until is not null)),
  check (status <> 'processing' or attempt_id is not null),
  check (accepted_at is null or status = 'processing'),
  check (fed_until is null or status = 'queued'),
  check ((status in ('completed', 'failed', 'cancelled')) = (finished_at is not null)),
  check ((status = 'failed') = (error_code is not null) or status in ('queued', 'processing'))
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02);
-- One job for each company of a batch; serves the list of a batch's jobs, in this order.
create unique index research_jobs_batch_company on research_jobs (batch_id, company_id);
-- Serves lists by status, counts of a batch, and the question whether any of its jobs is still open.
create index research_jobs_batch_status on research_jobs (batch_id, status, company_id);
-- Serves the feed: what a provider has to do and is not on the conveyor yet, in the order it is due.
create index research_jobs_unfed on research_jobs (provider_id, priority, run_at, id)
  where status = 'queued' and fed_until is null;
-- Serves the feed's count of what is on the conveyor, and the sweep that takes back what went missing there.
create index research_jobs_fed on research_jobs (provider_id, fed_until) where fed_until is not null;
-- Serves the count of a provider's jobs in progress, and the sweep that ends expired leases.
create index research_jobs_leased on research_jobs (provider_id, lease_until) where status = 'processing';
-- Serves the foreign key.
-- A hash, for it must not tempt the planner to walk it for a list of jobs.
create index research_jobs_company on research_jobs using hash (company_id);

-- Every attempt of every job; its ask_id is one POST to the provider.
create table research_attempts (
  id uuid primary key,
  user_id uuid not null,
  job_id uuid not null references research_jobs (id) on delete cascade,
  provider_id uuid not null references research_providers (id) on delete cascade,
  ask_id uuid not null,
  outcome text check (outcome in ('accepted', 'completed', 'failed', 'retried', 'throttled', 'released', 'expired', 'crashed', 'late')),
  http_status int,
  latency_ms int,
  error_code text,
  started_at timestamptz not null default now(),
  finished_at timestamptz
);
-- Serves callbacks: from an ask to its provider's secret, and to the attempts it may settle.
create index research_attempts_ask on research_attempts (ask_id);
-- Serves the history of one job, and the foreign key.
create index research_attempts_job on research_attempts (job_id, started_at);
-- Serves the foreign key.
create index research_attempts_provider on research_attempts (provider_id);

create table company_research (
  id uuid primary key default uuidv7(),
  user_id uuid not null,
  campaign_id uuid not null,
  company_id uuid not null,
  kind text not null,
  summary text,
  findings jsonb not null default '{}',
  sources jsonb not null default '[]',
  -- The job whose result stands here, and how many results have stood here.
  job_id uuid,
  generation int not null default 1 check (generation >= 1),
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  foreign key (campaign_id, user_id) references campaigns (id, user_id) on delete cascade,
  foreign key (company_id, campaign_id) references companies (id, campaign_id) on delete cascade
);
-- One row for each company and kind; serves the settle.
create unique index company_research_natural_key on company_research (campaign_id, company_id, kind);
-- Serves pages of a campaign's research.
create index company_research_campaign_page on company_research (campaign_id, created_at, id);
-- Serves pages of a tenant's research.
create index company_research_tenant_page on company_research (user_id, created_at, id);
-- Serves the research of one company, and the foreign key.
create index company_research_company_page on company_research (company_id, created_at, id);

create table prospect_research (
  id uuid primary key default uuidv7(),
  user_id uuid not null,
  campaign_id uuid not null,
  company_id uuid not null,
  company_research_id uuid not null references company_research (id) on delete cascade,
  -- What makes a person the same person within one company's research: email, else LinkedIn, else a digest.
  natural_key text collate "C" not null check (length(natural_key) between 1 and 600),
  full_name text,
  email text,
  title text,
  phone text,
  linkedin text,
  attributes jsonb not null default '{}',
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  foreign key (campaign_id, user_id) references campaigns (id, user_id) on delete cascade
);
-- A repeated or partial result adds nobody twice; serves the settle.
create unique index prospect_research_natural_key on prospect_research (company_research_id, natural_key);
-- Serves the people found by one research.
create index prospect_research_research_page on prospect_research (company_research_id, created_at, id);
-- Serves pages of a campaign's prospects.
create index prospect_research_campaign_page on prospect_research (campaign_id, created_at, id);
-- Serves pages of a tenant's prospects.
create index prospect_research_tenant_page on prospect_research (user_id, created_at, id);

-- What could not be processed, as it came: bytes, because text may be what was wrong with it.
create table dead_letters (
  id uuid primary key default uuidv7(),
  user_id uuid,
  queue text not null,
  message_id text not null,
  body bytea not null,
  fingerprint text not null,
  error_code text not null,
  reason text not null,
  receive_count int not null default 0,
  created_at timestamptz not null default now()
);
-- The same message is kept once, however often it is delivered.
create unique index dead_letters_message on dead_letters (queue, message_id);
-- Serves triage by kind of failure.
create index dead_letters_fingerprint on dead_letters (fingerprint, created_at);

alter table research_providers enable row level security;
alter table research_batches enable row level security;
alter table research_jobs enable row level security;
alter table research_attempts enable row level security;
alter table company_research enable row level security;
alter table prospect_research enable row level security;
alter table dead_letters enable row level security;

-- Down Migration

drop table dead_letters;
drop table prospect_research;
drop table company_research;
drop table research_attempts;
drop table research_jobs;
drop table research_batches;
drop table research_providers;
