-- Written by `npm run schema` from a migrated Postgres 18; do not edit.

create table api_keys (
  id uuid not null default uuidv7(),
  user_id uuid not null,
  name text not null,
  prefix text not null,
  hash bytea not null,
  scopes text[] not null,
  last_used_at timestamp with time zone,
  revoked_at timestamp with time zone,
  created_at timestamp with time zone not null default now(),
  constraint api_keys_hash_check CHECK ((length(hash) = 32)),
  constraint api_keys_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200))),
  constraint api_keys_prefix_check CHECK (((length(prefix) >= 4) AND (length(prefix) <= 16))),
  constraint api_keys_scopes_check CHECK (((scopes <@ ARRAY['read'::text, 'write'::text, 'research'::text, 'results:write'::text]) AND (cardinality(scopes) > 0))),
  constraint api_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint api_keys_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX api_keys_hash ON public.api_keys USING btree (hash);
CREATE INDEX api_keys_user ON public.api_keys USING btree (user_id);
alter table api_keys enable row level security;

create table auth.users (
  id uuid not null default uuidv7(),
  email text,
  created_at timestamp with time zone not null default now(),
  constraint users_pkey PRIMARY KEY (id)
);

create table campaigns (
  id uuid not null default uuidv7(),
  user_id uuid not null,
  name text not null,
  archived boolean not null default false,
  archived_at timestamp with time zone,
  version bigint not null default 1,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint campaigns_check CHECK ((archived = (archived_at IS NOT NULL))),
  constraint campaigns_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200))),
  constraint campaigns_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint campaigns_pkey PRIMARY KEY (id),
  constraint campaigns_id_user_id_key UNIQUE (id, user_id)
);
CREATE INDEX campaigns_active ON public.campaigns USING btree (user_id, created_at, id) WHERE (NOT archived);
CREATE INDEX campaigns_page ON public.campaigns USING btree (user_id, created_at, id);
alter table campaigns enable row level security;

create table companies (
  id uuid not null default uuidv7(),
  user_id uuid not null,
  campaign_id uuid not null,
  name text not null,
  domain text collate "C",
  natural_key text collate "C" not null,
  attributes jsonb not null default '{}'::jsonb,
  version bigint not null default 1,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint companies_attributes_check CHECK ((jsonb_typeof(attributes) = 'object'::text)),
  constraint companies_check CHECK (
CASE
    WHEN (domain IS NULL) THEN (natural_key ~~ 'name:%'::text)
    ELSE (natural_key = domain)
END),
  constraint companies_domain_check CHECK (((length(domain) >= 1) AND (length(domain) <= 255))),
  constraint companies_name_check CHECK (((length(name) >= 1) AND (length(name) <= 500))),
  constraint companies_natural_key_check CHECK (((length(natural_key) >= 1) AND (length(natural_key) <= 600))),
  constraint companies_campaign_id_user_id_fkey FOREIGN KEY (campaign_id, user_id) REFERENCES campaigns(id, user_id) ON DELETE CASCADE,
  constraint companies_pkey PRIMARY KEY (id),
  constraint companies_id_campaign_id_key UNIQUE (id, campaign_id)
);
CREATE INDEX companies_campaign_page ON public.companies USING btree (campaign_id, created_at, id);
CREATE UNIQUE INDEX companies_natural_key ON public.companies USING btree (campaign_id, natural_key);
CREATE INDEX companies_tenant_page ON public.companies USING btree (user_id, created_at, id);
alter table companies enable row level security;

create table company_research (
  id uuid not null default uuidv7(),
  user_id uuid not null,
  campaign_id uuid not null,
  company_id uuid not null,
  kind text not null,
  summary text,
  findings jsonb not null default '{}'::jsonb,
  sources jsonb not null default '[]'::jsonb,
  job_id uuid,
  generation integer not null default 1,
  version bigint not null default 1,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint company_research_generation_check CHECK ((generation >= 1)),
  constraint company_research_campaign_id_user_id_fkey FOREIGN KEY (campaign_id, user_id) REFERENCES campaigns(id, user_id) ON DELETE CASCADE,
  constraint company_research_company_id_campaign_id_fkey FOREIGN KEY (company_id, campaign_id) REFERENCES companies(id, campaign_id) ON DELETE CASCADE,
  constraint company_research_pkey PRIMARY KEY (id)
);
CREATE INDEX company_research_campaign_page ON public.company_research USING btree (campaign_id, created_at, id);
CREATE INDEX company_research_company_page ON public.company_research USING btree (company_id, created_at, id);
CREATE UNIQUE INDEX company_research_natural_key ON public.company_research USING btree (campaign_id, company_id, kind);
CREATE INDEX company_research_tenant_page ON public.company_research USING btree (user_id, created_at, id);
alter table company_research enable row level security;

create table contacts (
  id uuid not null default uuidv7(),
  user_id uuid not null,
  campaign_id uuid not null,
  company_id uuid,
  full_name text not null default ''::text,
  email text,
  title text,
  phone text,
  linkedin text,
  attributes jsonb not null default '{}'::jsonb,
  version bigint not null default 1,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint contacts_attributes_check CHECK ((jsonb_typeof(attributes) = 'object'::text)),
  constraint contacts_email_check CHECK (((length(email) >= 3) AND (length(email) <= 320))),
  constraint contacts_full_name_check CHECK ((length(full_name) <= 500)),
  constraint contacts_linkedin_check CHECK ((length(linkedin) <= 500)),
  constraint contacts_phone_check CHECK ((length(phone) <= 100)),
  constraint contacts_title_check CHECK ((length(title) <= 500)),
  constraint contacts_campaign_id_user_id_fkey FOREIGN KEY (campaign_id, user_id) REFERENCES campaigns(id, user_id) ON DELETE CASCADE,
  constraint contacts_company_id_campaign_id_fkey FOREIGN KEY (company_id, campaign_id) REFERENCES companies(id, campaign_id) ON DELETE SET NULL (company_id),
  constraint contacts_pkey PRIMARY KEY (id)
);
CREATE INDEX contacts_campaign_page ON public.contacts USING btree (campaign_id, created_at, id);
CREATE INDEX contacts_company_page ON public.contacts USING btree (company_id, created_at, id) WHERE (company_id IS NOT NULL);
CREATE UNIQUE INDEX contacts_natural_key ON public.contacts USING btree (campaign_id, lower(email)) WHERE (email IS NOT NULL);
CREATE INDEX contacts_tenant_page ON public.contacts USING btree (user_id, created_at, id);
alter table contacts enable row level security;

create table dead_letters (
  id uuid not null default uuidv7(),
  user_id uuid,
  queue text not null,
  message_id text not null,
  body bytea not null,
  fingerprint text not null,
  error_code text not null,
  reason text not null,
  receive_count integer not null default 0,
  created_at timestamp with time zone not null default now(),
  constraint dead_letters_pkey PRIMARY KEY (id)
);
CREATE INDEX dead_letters_fingerprint ON public.dead_letters USING btree (fingerprint, created_at);
CREATE UNIQUE INDEX dead_letters_message ON public.dead_letters USING btree (queue, message_id);
alter table dead_letters enable row level security;

create table idempotency_keys (
  user_id uuid not null,
  key text not null,
  request_hash bytea not null,
  status integer,
  answer jsonb,
  created_at timestamp with time zone not null default now(),
  constraint idempotency_keys_check CHECK (((status IS NULL) = (answer IS NULL))),
  constraint idempotency_keys_key_check CHECK (((length(key) >= 1) AND (length(key) <= 255))),
  constraint idempotency_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint idempotency_keys_pkey PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_created ON public.idempotency_keys USING btree (created_at);
alter table idempotency_keys enable row level security;

create table prospect_research (
  id uuid not null default uuidv7(),
  user_id uuid not null,
  campaign_id uuid not null,
  company_id uuid not null,
  company_research_id uuid not null,
  natural_key text collate "C" not null,
  full_name text,
  email text,
  title text,
  phone text,
  linkedin text,
  attributes jsonb not null default '{}'::jsonb,
  version bigint not null default 1,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint prospect_research_natural_key_check CHECK (((length(natural_key) >= 1) AND (length(natural_key) <= 600))),
  constraint prospect_research_campaign_id_user_id_fkey FOREIGN KEY (campaign_id, user_id) REFERENCES campaigns(id, user_id) ON DELETE CASCADE,
  constraint prospect_research_company_research_id_fkey FOREIGN KEY (company_research_id) REFERENCES company_research(id) ON DELETE CASCADE,
  constraint prospect_research_pkey PRIMARY KEY (id)
);
CREATE INDEX prospect_research_campaign_page ON public.prospect_research USING btree (campaign_id, created_at, id);
CREATE UNIQUE INDEX prospect_research_natural_key ON public.prospect_research USING btree (company_research_id, natural_key);
CREATE INDEX prospect_research_research_page ON public.prospect_research USING btree (company_research_id, created_at, id);
CREATE INDEX prospect_research_tenant_page ON public.prospect_research USING btree (user_id, created_at, id);
alter table prospect_research enable row level security;

create table research_attempts (
  id uuid not null,
  user_id uuid not null,
  job_id uuid not null,
  provider_id uuid not null,
  ask_id uuid not null,
  outcome text,
  http_status integer,
  latency_ms integer,
  error_code text,
  started_at timestamp with time zone not null default now(),
  finished_at timestamp with time zone,
  constraint research_attempts_outcome_check CHECK ((outcome = ANY (ARRAY['accepted'::text, 'completed'::text, 'failed'::text, 'retried'::text, 'throttled'::text, 'released'::text, 'expired'::text, 'crashed'::text, 'late'::text]))),
  constraint research_attempts_job_id_fkey FOREIGN KEY (job_id) REFERENCES research_jobs(id) ON DELETE CASCADE,
  constraint research_attempts_provider_id_fkey FOREIGN KEY (provider_id) REFERENCES research_providers(id) ON DELETE CASCADE,
  constraint research_attempts_pkey PRIMARY KEY (id)
);
CREATE INDEX research_attempts_ask ON public.research_attempts USING btree (ask_id);
CREATE INDEX research_attempts_job ON public.research_attempts USING btree (job_id, started_at);
CREATE INDEX research_attempts_provider ON public.research_attempts USING btree (provider_id);
alter table research_attempts enable row level security;

create table research_batches (
  id uuid not null default uuidv7(),
  user_id uuid not null,
  campaign_id uuid not null,
  provider_id uuid not null,
  kind text not null,
  status text not null default 'open'::text,
  total bigint not null default 0,
  priority smallint not null default 0,
  run_at timestamp with time zone not null default now(),
  expands_all boolean not null default false,
  expanded_to_created_at timestamp with time zone,
  expanded_to_id uuid,
  expanded_at timestamp with time zone,
  sealed_at timestamp with time zone,
  deadline timestamp with time zone not null default (now() + '7 days'::interval),
  finished_at timestamp with time zone,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint research_batches_check CHECK (((status = 'open'::text) = (finished_at IS NULL))),
  constraint research_batches_check1 CHECK (((status <> 'completed'::text) OR ((sealed_at IS NOT NULL) AND (expanded_at IS NOT NULL)))),
  constraint research_batches_check2 CHECK (((expanded_to_created_at IS NULL) = (expanded_to_id IS NULL))),
  constraint research_batches_kind_check CHECK ((kind ~ '^[a-z0-9][a-z0-9_-]{0,62}$'::text)),
  constraint research_batches_priority_check CHECK (((priority >= 0) AND (priority <= 9))),
  constraint research_batches_status_check CHECK ((status = ANY (ARRAY['open'::text, 'completed'::text, 'cancelled'::text]))),
  constraint research_batches_total_check CHECK ((total >= 0)),
  constraint research_batches_campaign_id_user_id_fkey FOREIGN KEY (campaign_id, user_id) REFERENCES campaigns(id, user_id) ON DELETE CASCADE,
  constraint research_batches_provider_id_user_id_fkey FOREIGN KEY (provider_id, user_id) REFERENCES research_providers(id, user_id) ON DELETE CASCADE,
  constraint research_batches_pkey PRIMARY KEY (id)
);
CREATE INDEX research_batches_campaign_page ON public.research_batches USING btree (campaign_id, created_at, id);
CREATE INDEX research_batches_open ON public.research_batches USING btree (deadline, id) WHERE (status = 'open'::text);
CREATE INDEX research_batches_provider ON public.research_batches USING btree (provider_id);
CREATE INDEX research_batches_tenant_page ON public.research_batches USING btree (user_id, created_at, id);
alter table research_batches enable row level security;

create table research_jobs (
  id uuid not null default uuidv7(),
  user_id uuid not null,
  batch_id uuid not null,
  company_id uuid not null,
  campaign_id uuid not null,
  provider_id uuid not null,
  kind text not null,
  status text not null default 'queued'::text,
  priority smallint not null default 0,
  retry_count integer not null default 0,
  throttle_count integer not null default 0,
  crash_count integer not null default 0,
  error_code text,
  error_message text,
  run_at timestamp with time zone not null default now(),
  fed_until timestamp with time zone,
  attempt_id uuid,
  lease_until timestamp with time zone,
  accepted_at timestamp with time zone,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  finished_at timestamp with time zone,
  constraint research_jobs_check CHECK (((status = 'processing'::text) = (lease_until IS NOT NULL))),
  constraint research_jobs_check1 CHECK (((status <> 'processing'::text) OR (attempt_id IS NOT NULL))),
  constraint research_jobs_check2 CHECK (((accepted_at IS NULL) OR (status = 'processing'::text))),
  constraint research_jobs_check3 CHECK (((fed_until IS NULL) OR (status = 'queued'::text))),
  constraint research_jobs_check4 CHECK (((status = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text])) = (finished_at IS NOT NULL))),
  constraint research_jobs_check5 CHECK ((((status = 'failed'::text) = (error_code IS NOT NULL)) OR (status = ANY (ARRAY['queued'::text, 'processing'::text])))),
  constraint research_jobs_crash_count_check CHECK ((crash_count >= 0)),
  constraint research_jobs_error_message_check CHECK ((length(error_message) <= 2000)),
  constraint research_jobs_priority_check CHECK (((priority >= 0) AND (priority <= 9))),
  constraint research_jobs_retry_count_check CHECK ((retry_count >= 0)),
  constraint research_jobs_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'processing'::text, 'completed'::text, 'failed'::text, 'cancelled'::text]))),
  constraint research_jobs_throttle_count_check CHECK ((throttle_count >= 0)),
  constraint research_jobs_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES research_batches(id) ON DELETE CASCADE,
  constraint research_jobs_company_id_fkey FOREIGN KEY (company_id) REFERENCES companies(id) ON DELETE CASCADE,
  constraint research_jobs_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX research_jobs_batch_company ON public.research_jobs USING btree (batch_id, company_id);
CREATE INDEX research_jobs_batch_status ON public.research_jobs USING btree (batch_id, status, company_id);
CREATE INDEX research_jobs_company ON public.research_jobs USING hash (company_id);
CREATE INDEX research_jobs_fed ON public.research_jobs USING btree (provider_id, fed_until) WHERE (fed_until IS NOT NULL);
CREATE INDEX research_jobs_leased ON public.research_jobs USING btree (provider_id, lease_until) WHERE (status = 'processing'::text);
CREATE INDEX research_jobs_unfed ON public.research_jobs USING btree (provider_id, priority, run_at, id) WHERE ((status = 'queued'::text) AND (fed_until IS NULL));
alter table research_jobs enable row level security;

create table research_providers (
  id uuid not null default uuidv7(),
  user_id uuid not null,
  name text not null,
  kind text not null,
  url text not null,
  secret text not null,
  batch_size integer not null default 10,
  rate_per_second double precision,
  concurrency integer,
  timeout_ms integer not null default 30000,
  lease_seconds integer not null default 1200,
  max_retries integer not null default 3,
  paused_until timestamp with time zone,
  permits double precision not null default 0,
  permits_at timestamp with time zone not null default now(),
  version bigint not null default 1,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint research_providers_batch_size_check CHECK (((batch_size >= 1) AND (batch_size <= 100))),
  constraint research_providers_concurrency_check CHECK ((concurrency > 0)),
  constraint research_providers_kind_check CHECK ((kind = ANY (ARRAY['webhook'::text, 'clay'::text]))),
  constraint research_providers_lease_seconds_check CHECK (((lease_seconds >= 1) AND (lease_seconds <= 86400))),
  constraint research_providers_max_retries_check CHECK (((max_retries >= 0) AND (max_retries <= 20))),
  constraint research_providers_name_check CHECK ((name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'::text)),
  constraint research_providers_rate_per_second_check CHECK ((rate_per_second > (0)::double precision)),
  constraint research_providers_secret_check CHECK ((secret ~~ 'whsec\_%'::text)),
  constraint research_providers_timeout_ms_check CHECK (((timeout_ms >= 100) AND (timeout_ms <= 90000))),
  constraint research_providers_url_check CHECK (((length(url) <= 2000) AND (url ~ '^https?://'::text))),
  constraint research_providers_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint research_providers_pkey PRIMARY KEY (id),
  constraint research_providers_id_user_id_key UNIQUE (id, user_id),
  constraint research_providers_user_id_name_key UNIQUE (user_id, name)
);
CREATE INDEX research_providers_page ON public.research_providers USING btree (user_id, created_at, id);
alter table research_providers enable row level security;

CREATE OR REPLACE FUNCTION auth.uid()
 RETURNS uuid
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog'
AS $function$ select nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $function$;
