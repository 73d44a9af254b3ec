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
alter table api_keys force row level security;
create policy definer on api_keys for all to aim_definer using (true) with check (true);
create policy worker on api_keys for all to aim_worker using (true) with check (true);
grant select, update (last_used_at) on api_keys to aim_definer;
grant delete, select (id, user_id, name, prefix, scopes, last_used_at, revoked_at, created_at) on api_keys to aim_worker;

create table archive_chunks (
  archive_id uuid not null,
  table_name text not null,
  number integer not null,
  user_id uuid not null,
  row_count integer not null,
  sha256 bytea not null,
  rows jsonb not null,
  created_at timestamp with time zone not null default now(),
  columns jsonb not null default '[]'::jsonb,
  constraint archive_chunks_number_check CHECK ((number >= 1)),
  constraint archive_chunks_row_count_check CHECK (((row_count >= 1) AND (row_count <= 1000))),
  constraint archive_chunks_rows_check CHECK ((jsonb_typeof(rows) = 'array'::text)),
  constraint archive_chunks_sha256_check CHECK ((length(sha256) = 32)),
  constraint archive_chunks_table_name_check CHECK ((table_name ~ '^[a-z_]{1,63}$'::text)),
  constraint archive_chunks_archive_id_user_id_fkey FOREIGN KEY (archive_id, user_id) REFERENCES archived_campaigns(id, user_id) ON DELETE CASCADE,
  constraint archive_chunks_pkey PRIMARY KEY (archive_id, table_name, number)
);
CREATE INDEX archive_chunks_tenant ON public.archive_chunks USING btree (user_id, archive_id, table_name, number);
CREATE INDEX archive_chunks_user ON public.archive_chunks USING btree (user_id);
alter table archive_chunks enable row level security;
alter table archive_chunks force row level security;
create policy definer on archive_chunks for all to aim_definer using (true) with check (true);
create policy tenant on archive_chunks for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on archive_chunks for all to aim_worker using (true) with check (true);
grant select on archive_chunks to aim_api;
grant select on archive_chunks to aim_definer;
grant delete, insert, select, update on archive_chunks to aim_worker;
CREATE TRIGGER index_chunk AFTER INSERT OR UPDATE ON public.archive_chunks FOR EACH ROW EXECUTE FUNCTION aim.index_chunk();

create table archive_events (
  id uuid not null default uuidv7(),
  user_id uuid not null,
  run_id uuid,
  campaign_id uuid not null,
  action text not null,
  outcome text not null,
  reason text not null,
  error_code text,
  error_message text,
  rows bigint not null default 0,
  ms integer not null default 0,
  created_at timestamp with time zone not null default now(),
  constraint archive_events_action_check CHECK ((action = ANY (ARRAY['archive'::text, 'restore'::text, 'purge'::text]))),
  constraint archive_events_check CHECK (((outcome = 'failed'::text) = (error_code IS NOT NULL))),
  constraint archive_events_error_message_check CHECK ((length(error_message) <= 2000)),
  constraint archive_events_outcome_check CHECK ((outcome = ANY (ARRAY['done'::text, 'failed'::text]))),
  constraint archive_events_reason_check CHECK ((reason = ANY (ARRAY['idle'::text, 'ended'::text, 'closed'::text, 'asked'::text, 'retention'::text, 'deleted'::text]))),
  constraint archive_events_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint archive_events_pkey PRIMARY KEY (id)
);
CREATE INDEX archive_events_created ON public.archive_events USING btree (created_at, id);
CREATE INDEX archive_events_page ON public.archive_events USING btree (user_id, created_at, id);
CREATE INDEX archive_events_run ON public.archive_events USING btree (run_id, campaign_id) WHERE (run_id IS NOT NULL);
alter table archive_events enable row level security;
alter table archive_events force row level security;
create policy definer on archive_events for all to aim_definer using (true) with check (true);
create policy tenant on archive_events for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on archive_events for all to aim_worker using (true) with check (true);
grant select on archive_events to aim_api;
grant delete, insert, select, update on archive_events to aim_worker;

create table archive_lookup (
  archive_id uuid not null,
  table_name text not null,
  number integer not null,
  user_id uuid not null,
  hashes integer[] not null,
  constraint archive_lookup_archive_id_table_name_number_fkey FOREIGN KEY (archive_id, table_name, number) REFERENCES archive_chunks(archive_id, table_name, number) ON DELETE CASCADE,
  constraint archive_lookup_pkey PRIMARY KEY (archive_id, table_name, number)
);
CREATE INDEX archive_lookup_hashes ON public.archive_lookup USING gin (hashes) WITH (gin_pending_list_limit='256');
alter table archive_lookup enable row level security;
alter table archive_lookup force row level security;
create policy definer on archive_lookup for all to aim_definer using (true) with check (true);
create policy worker on archive_lookup for all to aim_worker using (true) with check (true);
grant delete, insert, select, update on archive_lookup to aim_definer;

create table archive_policies (
  user_id uuid not null,
  idle_days integer,
  ended_days integer,
  closed boolean not null default false,
  retention_days integer,
  version bigint not null default 1,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint archive_policies_ended_days_check CHECK (((ended_days >= 1) AND (ended_days <= 3650))),
  constraint archive_policies_idle_days_check CHECK (((idle_days >= 1) AND (idle_days <= 3650))),
  constraint archive_policies_retention_days_check CHECK (((retention_days >= 1) AND (retention_days <= 36500))),
  constraint archive_policies_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint archive_policies_pkey PRIMARY KEY (user_id)
);
alter table archive_policies enable row level security;
alter table archive_policies force row level security;
create policy definer on archive_policies for all to aim_definer using (true) with check (true);
create policy tenant on archive_policies for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on archive_policies for all to aim_worker using (true) with check (true);
grant insert, select, update (idle_days, ended_days, closed, retention_days, version, updated_at) on archive_policies to aim_api;
grant delete, insert, select, update on archive_policies to aim_worker;

create table archive_runs (
  id uuid not null default uuidv7(),
  state text not null default 'running'::text,
  lease_id uuid not null,
  lease_until timestamp with time zone not null,
  invocations integer not null default 1,
  after_at timestamp with time zone,
  after_id uuid,
  archived integer not null default 0,
  restored integer not null default 0,
  purged integer not null default 0,
  failed integer not null default 0,
  rows bigint not null default 0,
  stop_reason text,
  started_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  finished_at timestamp with time zone,
  constraint archive_runs_check CHECK (((state = 'running'::text) = (finished_at IS NULL))),
  constraint archive_runs_check1 CHECK (((state = 'stopped'::text) = (stop_reason IS NOT NULL))),
  constraint archive_runs_check2 CHECK (((after_at IS NULL) = (after_id IS NULL))),
  constraint archive_runs_invocations_check CHECK ((invocations >= 1)),
  constraint archive_runs_state_check CHECK ((state = ANY (ARRAY['running'::text, 'finished'::text, 'stopped'::text]))),
  constraint archive_runs_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX archive_runs_open ON public.archive_runs USING btree ((true)) WHERE (finished_at IS NULL);
alter table archive_runs enable row level security;
alter table archive_runs force row level security;
create policy definer on archive_runs for all to aim_definer using (true) with check (true);
create policy worker on archive_runs for all to aim_worker using (true) with check (true);
grant delete, insert, select, update on archive_runs to aim_worker;

create table archive_salts (
  user_id uuid not null,
  salt bytea not null default (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())),
  constraint archive_salts_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint archive_salts_pkey PRIMARY KEY (user_id)
);
alter table archive_salts enable row level security;
alter table archive_salts force row level security;
create policy definer on archive_salts for all to aim_definer using (true) with check (true);
create policy worker on archive_salts for all to aim_worker using (true) with check (true);
grant insert, select on archive_salts to aim_definer;
grant delete, select (user_id) on archive_salts to aim_worker;

create table archived_campaigns (
  id uuid not null,
  user_id uuid not null,
  name text not null,
  campaign jsonb not null,
  state text not null,
  totals jsonb not null default '{}'::jsonb,
  checksum bytea,
  schema_version text not null,
  archived_at timestamp with time zone,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  progress jsonb not null default '{}'::jsonb,
  purging_at timestamp with time zone,
  constraint archived_campaigns_campaign_check CHECK ((jsonb_typeof(campaign) = 'object'::text)),
  constraint archived_campaigns_check CHECK (((state = 'archiving'::text) = (archived_at IS NULL))),
  constraint archived_campaigns_check1 CHECK (((archived_at IS NULL) = (checksum IS NULL))),
  constraint archived_campaigns_checksum_check CHECK ((length(checksum) = 32)),
  constraint archived_campaigns_state_check CHECK ((state = ANY (ARRAY['archiving'::text, 'archived'::text, 'restoring'::text]))),
  constraint archived_campaigns_totals_check CHECK ((jsonb_typeof(totals) = 'object'::text)),
  constraint archived_campaigns_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint archived_campaigns_pkey PRIMARY KEY (id),
  constraint archived_campaigns_id_user_id_key UNIQUE (id, user_id)
);
CREATE INDEX archived_campaigns_begun ON public.archived_campaigns USING btree (created_at, id) WHERE (state <> 'archived'::text);
CREATE INDEX archived_campaigns_kept ON public.archived_campaigns USING btree (user_id, archived_at, id) WHERE ((archived_at IS NOT NULL) AND (purging_at IS NULL));
CREATE INDEX archived_campaigns_page ON public.archived_campaigns USING btree (user_id, created_at, id);
CREATE INDEX archived_campaigns_purging ON public.archived_campaigns USING btree (purging_at, id) WHERE (purging_at IS NOT NULL);
CREATE INDEX archived_campaigns_unfinished ON public.archived_campaigns USING btree (updated_at, id) WHERE (state <> 'archived'::text);
alter table archived_campaigns enable row level security;
alter table archived_campaigns force row level security;
create policy definer on archived_campaigns for all to aim_definer using (true) with check (true);
create policy tenant on archived_campaigns for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on archived_campaigns for all to aim_worker using (true) with check (true);
grant insert (id, user_id, name, campaign, state, schema_version, progress), select, update (state, updated_at, progress) on archived_campaigns to aim_api;
grant select, update (updated_at, purging_at) on archived_campaigns to aim_definer;
grant delete, insert, select, update on archived_campaigns to aim_worker;

create table auth.users (
  id uuid not null default uuidv7(),
  email text,
  created_at timestamp with time zone not null default now(),
  constraint users_pkey PRIMARY KEY (id)
);

create table batch_counts (
  id bigint not null,
  user_id uuid not null,
  batch_id uuid not null,
  queued bigint not null,
  processing bigint not null,
  completed bigint not null,
  failed bigint not null,
  cancelled bigint not null,
  retries bigint not null,
  folded boolean not null default false,
  constraint batch_counts_pkey PRIMARY KEY (id)
);
CREATE INDEX batch_counts_batch ON public.batch_counts USING btree (batch_id) INCLUDE (user_id, queued, processing, completed, failed, cancelled, retries);
CREATE INDEX batch_counts_folded ON public.batch_counts USING btree (batch_id) WHERE folded;
CREATE INDEX batch_counts_unfolded ON public.batch_counts USING btree (id) WHERE (NOT folded);
alter table batch_counts enable row level security;
alter table batch_counts force row level security;
create policy definer on batch_counts for all to aim_definer using (true) with check (true);
create policy tenant on batch_counts for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on batch_counts for all to aim_worker using (true) with check (true);
grant select on batch_counts to aim_api;
grant delete, insert, select on batch_counts to aim_definer;
grant delete, insert, select on batch_counts to aim_worker;

create table campaign_count_deltas (
  id bigint not null,
  user_id uuid not null,
  campaign_id uuid not null,
  companies integer not null default 0,
  contacts integer not null default 0,
  created_at timestamp with time zone not null default now(),
  constraint campaign_count_deltas_check CHECK (((companies <> 0) OR (contacts <> 0))),
  constraint campaign_count_deltas_pkey PRIMARY KEY (id)
);
CREATE INDEX campaign_count_deltas_campaign ON public.campaign_count_deltas USING btree (campaign_id) INCLUDE (companies, contacts);
alter table campaign_count_deltas enable row level security;
alter table campaign_count_deltas force row level security;
create policy definer on campaign_count_deltas for all to aim_definer using (true) with check (true);
create policy tenant on campaign_count_deltas for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on campaign_count_deltas for all to aim_worker using (true) with check (true);
grant select on campaign_count_deltas to aim_api;
grant insert on campaign_count_deltas to aim_definer;
grant delete, insert, select, update on campaign_count_deltas to aim_worker;

create table campaigns (
  id uuid not null default uuidv7(),
  user_id uuid not null,
  name text not null,
  archived boolean not null default false,
  archived_at timestamp with time zone,
  version bigint not null default 1,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  companies_count bigint not null default 0,
  contacts_count bigint not null default 0,
  counts_checked_at timestamp with time zone not null default now(),
  deleted_at timestamp with time zone,
  closed_at timestamp with time zone,
  constraint campaigns_check CHECK ((archived = (archived_at IS NOT NULL))),
  constraint campaigns_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200))),
  constraint campaigns_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint campaigns_pkey PRIMARY KEY (id),
  constraint campaigns_id_user_id_key UNIQUE (id, user_id)
);
CREATE INDEX campaigns_active ON public.campaigns USING btree (user_id, created_at, id) WHERE (NOT archived);
CREATE INDEX campaigns_active_name ON public.campaigns USING btree (user_id, name COLLATE "C", id) WHERE ((NOT archived) AND (deleted_at IS NULL));
CREATE INDEX campaigns_active_updated ON public.campaigns USING btree (user_id, updated_at, id) WHERE ((NOT archived) AND (deleted_at IS NULL));
CREATE INDEX campaigns_all_name ON public.campaigns USING btree (user_id, name COLLATE "C", id) WHERE (deleted_at IS NULL);
CREATE INDEX campaigns_all_updated ON public.campaigns USING btree (user_id, updated_at, id) WHERE (deleted_at IS NULL);
CREATE INDEX campaigns_deleted ON public.campaigns USING btree (deleted_at, id) WHERE (deleted_at IS NOT NULL);
CREATE INDEX campaigns_oldest ON public.campaigns USING btree (updated_at, id) WHERE (((NOT archived) AND (deleted_at IS NULL)) IS TRUE);
CREATE INDEX campaigns_page ON public.campaigns USING btree (user_id, created_at, id);
CREATE INDEX campaigns_unproved ON public.campaigns USING btree (counts_checked_at, id) WHERE (deleted_at IS NULL);
alter table campaigns enable row level security;
alter table campaigns force row level security;
create policy definer on campaigns for all to aim_definer using (true) with check (true);
create policy tenant on campaigns for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on campaigns for all to aim_worker using (true) with check (true);
grant delete, insert (user_id, name, archived, archived_at), select, update (name, archived, archived_at, version, updated_at, deleted_at, closed_at) on campaigns to aim_api;
grant select, select (id), update (archived) on campaigns to aim_definer;
grant delete, insert, select, update on campaigns to aim_worker;
CREATE TRIGGER note_deleted AFTER DELETE ON public.campaigns REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION aim.note_campaigns('campaign');
CREATE TRIGGER note_inserted AFTER INSERT ON public.campaigns REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_campaigns('campaign');
CREATE TRIGGER note_updated AFTER UPDATE ON public.campaigns REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_campaigns('campaign');
CREATE TRIGGER purge_deleted AFTER UPDATE OF deleted_at ON public.campaigns FOR EACH ROW WHEN (((old.deleted_at IS NULL) AND (new.deleted_at IS NOT NULL))) EXECUTE FUNCTION aim.purge_deleted();
CREATE TRIGGER reopen_restored BEFORE UPDATE OF archived ON public.campaigns FOR EACH ROW WHEN ((old.archived AND (NOT new.archived))) EXECUTE FUNCTION aim.reopen_restored();

create table change_floor (
  singleton boolean not null default true,
  xid xid8 not null default '0'::xid8,
  mark xid8 not null default '0'::xid8,
  marked_at timestamp with time zone not null default now(),
  constraint change_floor_singleton_check CHECK (singleton),
  constraint change_floor_pkey PRIMARY KEY (singleton)
);
alter table change_floor enable row level security;
alter table change_floor force row level security;
create policy definer on change_floor for all to aim_definer using (true) with check (true);
create policy floor on change_floor for select to aim_api using (true);
create policy worker on change_floor for all to aim_worker using (true) with check (true);
grant select on change_floor to aim_api;
grant select, update (mark, marked_at) on change_floor to aim_worker;

create table changes (
  at timestamp with time zone not null default now(),
  xid xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('aim.changes_seq'::regclass),
  user_id uuid not null,
  campaign_id uuid,
  entity text not null,
  op text not null,
  ids uuid[] not null,
  constraint changes_entity_check CHECK ((entity = ANY (ARRAY['campaign'::text, 'company'::text, 'contact'::text, 'research'::text, 'prospect'::text, 'batch'::text, 'job'::text, 'provider'::text]))),
  constraint changes_ids_check CHECK (((cardinality(ids) >= 1) AND (cardinality(ids) <= 1000))),
  constraint changes_op_check CHECK ((op = ANY (ARRAY['insert'::text, 'update'::text, 'delete'::text, 'archive'::text, 'restore'::text, 'queued'::text, 'completed'::text, 'failed'::text, 'cancelled'::text])))
) partition by RANGE (at);
CREATE INDEX changes_feed ON public.changes USING btree (user_id, xid, seq);
alter table changes enable row level security;
alter table changes force row level security;
create policy definer on changes for all to aim_definer using (true) with check (true);
create policy tenant on changes for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on changes for all to aim_worker using (true) with check (true);
grant select on changes to aim_api;
grant insert on changes to aim_definer;
grant delete, select on changes to aim_worker;

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
  search_vector tsvector,
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
CREATE INDEX companies_campaign_name ON public.companies USING btree (campaign_id, name COLLATE "C", id);
CREATE INDEX companies_campaign_page ON public.companies USING btree (campaign_id, created_at, id);
CREATE INDEX companies_campaign_updated ON public.companies USING btree (campaign_id, updated_at, id);
CREATE UNIQUE INDEX companies_natural_key ON public.companies USING btree (campaign_id, natural_key);
CREATE INDEX companies_search ON public.companies USING gin (aim.search_keys(user_id, campaign_id, search_vector)) WITH (gin_pending_list_limit='256');
CREATE INDEX companies_similar ON public.companies USING gin (uuid_hash(user_id), aim.search_name(name) gin_trgm_ops) WITH (gin_pending_list_limit='256');
CREATE INDEX companies_tenant_name ON public.companies USING btree (user_id, name COLLATE "C", id);
CREATE INDEX companies_tenant_page ON public.companies USING btree (user_id, created_at, id);
CREATE INDEX companies_tenant_updated ON public.companies USING btree (user_id, updated_at, id);
CREATE INDEX companies_unsearchable ON public.companies USING btree (id) WHERE (search_vector IS NULL);
alter table companies enable row level security;
alter table companies force row level security;
create policy definer on companies for all to aim_definer using (true) with check (true);
create policy tenant on companies for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on companies for all to aim_worker using (true) with check (true);
grant delete, insert, select, update on companies to aim_api;
grant select, update (updated_at) on companies to aim_definer;
grant delete, insert, select, update on companies to aim_worker;
CREATE TRIGGER count_deleted AFTER DELETE ON public.companies REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION aim.count_deleted();
CREATE TRIGGER count_inserted AFTER INSERT ON public.companies REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION aim.count_inserted();
CREATE TRIGGER count_moved AFTER UPDATE ON public.companies REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.count_moved();
CREATE TRIGGER guard_deleted AFTER DELETE ON public.companies REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER guard_inserted AFTER INSERT ON public.companies REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER guard_updated AFTER UPDATE ON public.companies REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER keys_deleted AFTER DELETE ON public.companies REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION aim.children_go();
CREATE TRIGGER keys_stay BEFORE UPDATE OF id ON public.companies FOR EACH ROW WHEN ((old.id IS DISTINCT FROM new.id)) EXECUTE FUNCTION aim.keys_stay();
CREATE TRIGGER note_deleted AFTER DELETE ON public.companies REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION aim.note_rows('company');
CREATE TRIGGER note_inserted AFTER INSERT ON public.companies REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_rows('company');
CREATE TRIGGER note_updated AFTER UPDATE ON public.companies REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_rows('company');
CREATE TRIGGER search_renamed AFTER UPDATE ON public.companies REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION aim.company_renamed();
CREATE TRIGGER search_vector BEFORE INSERT OR UPDATE OF name, domain ON public.companies FOR EACH ROW EXECUTE FUNCTION aim.company_search_vector();

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
  search_vector tsvector,
  constraint company_research_generation_check CHECK ((generation >= 1)),
  constraint company_research_campaign_id_user_id_fkey FOREIGN KEY (campaign_id, user_id) REFERENCES campaigns(id, user_id) ON DELETE CASCADE,
  constraint company_research_company_id_campaign_id_fkey FOREIGN KEY (company_id, campaign_id) REFERENCES companies(id, campaign_id) ON DELETE CASCADE,
  constraint company_research_pkey PRIMARY KEY (id)
);
CREATE INDEX company_research_campaign_page ON public.company_research USING btree (campaign_id, created_at, id);
CREATE INDEX company_research_campaign_updated ON public.company_research USING btree (campaign_id, updated_at, id);
CREATE INDEX company_research_company_page ON public.company_research USING btree (company_id, created_at, id);
CREATE INDEX company_research_company_updated ON public.company_research USING btree (company_id, updated_at, id);
CREATE UNIQUE INDEX company_research_natural_key ON public.company_research USING btree (campaign_id, company_id, kind);
CREATE UNIQUE INDEX company_research_of_campaign ON public.company_research USING btree (id, campaign_id);
CREATE INDEX company_research_search ON public.company_research USING gin (aim.search_keys(user_id, campaign_id, search_vector)) WITH (gin_pending_list_limit='256');
CREATE INDEX company_research_tenant_page ON public.company_research USING btree (user_id, created_at, id);
CREATE INDEX company_research_tenant_updated ON public.company_research USING btree (user_id, updated_at, id);
CREATE INDEX company_research_unsearchable ON public.company_research USING btree (id) WHERE (search_vector IS NULL);
alter table company_research enable row level security;
alter table company_research force row level security;
create policy definer on company_research for all to aim_definer using (true) with check (true);
create policy tenant on company_research for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on company_research for all to aim_worker using (true) with check (true);
grant delete, insert, select, update on company_research to aim_api;
grant select, update (search_vector) on company_research to aim_definer;
grant delete, insert, select, update on company_research to aim_worker;
CREATE TRIGGER guard_deleted AFTER DELETE ON public.company_research REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER guard_inserted AFTER INSERT ON public.company_research REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER guard_updated AFTER UPDATE ON public.company_research REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER note_deleted AFTER DELETE ON public.company_research REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION aim.note_rows('research');
CREATE TRIGGER note_inserted AFTER INSERT ON public.company_research REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_rows('research');
CREATE TRIGGER note_updated AFTER UPDATE ON public.company_research REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_rows('research');
CREATE TRIGGER search_current AFTER INSERT ON public.company_research REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION aim.research_search_current();
CREATE TRIGGER search_vector BEFORE INSERT ON public.company_research FOR EACH ROW WHEN ((new.search_vector IS NULL)) EXECUTE FUNCTION aim.research_search_vector();
CREATE TRIGGER search_vector_moved BEFORE UPDATE OF company_id ON public.company_research FOR EACH ROW EXECUTE FUNCTION aim.research_search_vector();

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
  search_vector tsvector,
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
CREATE INDEX contacts_campaign_email ON public.contacts USING btree (campaign_id, (
CASE
    WHEN (email IS NULL) THEN ''::text
    ELSE email
END) COLLATE "C", id);
CREATE INDEX contacts_campaign_name ON public.contacts USING btree (campaign_id, full_name COLLATE "C", id);
CREATE INDEX contacts_campaign_page ON public.contacts USING btree (campaign_id, created_at, id);
CREATE INDEX contacts_campaign_updated ON public.contacts USING btree (campaign_id, updated_at, id);
CREATE INDEX contacts_company_email ON public.contacts USING btree (company_id, (
CASE
    WHEN (email IS NULL) THEN ''::text
    ELSE email
END) COLLATE "C", id) WHERE (company_id IS NOT NULL);
CREATE INDEX contacts_company_name ON public.contacts USING btree (company_id, full_name COLLATE "C", id) WHERE (company_id IS NOT NULL);
CREATE INDEX contacts_company_page ON public.contacts USING btree (company_id, created_at, id) WHERE (company_id IS NOT NULL);
CREATE INDEX contacts_company_updated ON public.contacts USING btree (company_id, updated_at, id) WHERE (company_id IS NOT NULL);
CREATE UNIQUE INDEX contacts_natural_key ON public.contacts USING btree (campaign_id, lower(email)) WHERE (email IS NOT NULL);
CREATE INDEX contacts_search ON public.contacts USING gin (aim.search_keys(user_id, campaign_id, search_vector)) WITH (gin_pending_list_limit='256');
CREATE INDEX contacts_similar ON public.contacts USING gin (uuid_hash(user_id), aim.search_name(full_name) gin_trgm_ops) WITH (gin_pending_list_limit='256');
CREATE INDEX contacts_tenant_email ON public.contacts USING btree (user_id, (
CASE
    WHEN (email IS NULL) THEN ''::text
    ELSE email
END) COLLATE "C", id);
CREATE INDEX contacts_tenant_name ON public.contacts USING btree (user_id, full_name COLLATE "C", id);
CREATE INDEX contacts_tenant_page ON public.contacts USING btree (user_id, created_at, id);
CREATE INDEX contacts_tenant_updated ON public.contacts USING btree (user_id, updated_at, id);
CREATE INDEX contacts_unsearchable ON public.contacts USING btree (id) WHERE (search_vector IS NULL);
alter table contacts enable row level security;
alter table contacts force row level security;
create policy definer on contacts for all to aim_definer using (true) with check (true);
create policy tenant on contacts for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on contacts for all to aim_worker using (true) with check (true);
grant delete, insert, select, update on contacts to aim_api;
grant select on contacts to aim_definer;
grant delete, insert, select, update on contacts to aim_worker;
CREATE TRIGGER count_deleted AFTER DELETE ON public.contacts REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION aim.count_deleted();
CREATE TRIGGER count_inserted AFTER INSERT ON public.contacts REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION aim.count_inserted();
CREATE TRIGGER count_moved AFTER UPDATE ON public.contacts REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.count_moved();
CREATE TRIGGER guard_deleted AFTER DELETE ON public.contacts REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER guard_inserted AFTER INSERT ON public.contacts REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER guard_updated AFTER UPDATE ON public.contacts REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER note_deleted AFTER DELETE ON public.contacts REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION aim.note_rows('contact');
CREATE TRIGGER note_inserted AFTER INSERT ON public.contacts REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_rows('contact');
CREATE TRIGGER note_updated AFTER UPDATE ON public.contacts REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_rows('contact');
CREATE TRIGGER search_vector BEFORE INSERT OR UPDATE OF full_name, title, email ON public.contacts FOR EACH ROW EXECUTE FUNCTION aim.contact_search_vector();

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
CREATE INDEX dead_letters_tenant ON public.dead_letters USING btree (user_id, created_at, id);
alter table dead_letters enable row level security;
alter table dead_letters force row level security;
create policy definer on dead_letters for all to aim_definer using (true) with check (true);
create policy tenant on dead_letters for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on dead_letters for all to aim_worker using (true) with check (true);
grant select on dead_letters to aim_api;
grant delete, insert, select, update on dead_letters to aim_worker;

create table erasures (
  id uuid not null default uuidv7(),
  user_id uuid not null,
  email_hash bytea not null,
  pass integer not null default 1,
  pass_snapshot pg_snapshot,
  step integer not null default 0,
  "position" jsonb,
  counts jsonb not null default '{}'::jsonb,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  finished_at timestamp with time zone,
  constraint erasures_counts_check CHECK ((jsonb_typeof(counts) = 'object'::text)),
  constraint erasures_email_hash_check CHECK ((length(email_hash) = 32)),
  constraint erasures_pass_check CHECK ((pass >= 1)),
  constraint erasures_step_check CHECK ((step >= 0)),
  constraint erasures_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint erasures_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX erasures_open ON public.erasures USING btree (user_id, email_hash) WHERE (finished_at IS NULL);
CREATE INDEX erasures_page ON public.erasures USING btree (user_id, created_at, id);
alter table erasures enable row level security;
alter table erasures force row level security;
create policy definer on erasures for all to aim_definer using (true) with check (true);
create policy tenant on erasures for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on erasures for all to aim_worker using (true) with check (true);
grant insert (user_id, email_hash), select on erasures to aim_api;
grant delete, insert, select, update on erasures to aim_worker;

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
alter table idempotency_keys force row level security;
create policy definer on idempotency_keys for all to aim_definer using (true) with check (true);
create policy tenant on idempotency_keys for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on idempotency_keys for all to aim_worker using (true) with check (true);
grant delete, insert, select, update on idempotency_keys to aim_api;
grant delete, insert, select, update on idempotency_keys to aim_worker;

create table late_results (
  attempt_id uuid not null,
  user_id uuid not null,
  job_id uuid not null,
  summary text,
  findings jsonb not null default '{}'::jsonb,
  sources jsonb not null default '[]'::jsonb,
  prospects jsonb not null default '[]'::jsonb,
  received_at timestamp with time zone not null default now(),
  constraint late_results_attempt_id_fkey FOREIGN KEY (attempt_id) REFERENCES research_attempts(id) ON DELETE CASCADE,
  constraint late_results_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint late_results_pkey PRIMARY KEY (attempt_id)
);
CREATE INDEX late_results_job ON public.late_results USING btree (job_id);
CREATE INDEX late_results_tenant ON public.late_results USING btree (user_id, attempt_id);
alter table late_results enable row level security;
alter table late_results force row level security;
create policy definer on late_results for all to aim_definer using (true) with check (true);
create policy tenant on late_results for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on late_results for all to aim_worker using (true) with check (true);
grant delete, insert, select on late_results to aim_api;
grant delete, insert, select, update on late_results to aim_worker;
CREATE TRIGGER guard_inserted AFTER INSERT ON public.late_results REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_late_results();

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
  constraint prospect_research_of_campaign FOREIGN KEY (company_research_id, campaign_id) REFERENCES company_research(id, campaign_id) ON DELETE CASCADE,
  constraint prospect_research_pkey PRIMARY KEY (id)
);
CREATE INDEX prospect_research_campaign_page ON public.prospect_research USING btree (campaign_id, created_at, id);
CREATE INDEX prospect_research_campaign_updated ON public.prospect_research USING btree (campaign_id, updated_at, id);
CREATE UNIQUE INDEX prospect_research_natural_key ON public.prospect_research USING btree (company_research_id, natural_key);
CREATE INDEX prospect_research_research_page ON public.prospect_research USING btree (company_research_id, created_at, id);
CREATE INDEX prospect_research_research_updated ON public.prospect_research USING btree (company_research_id, updated_at, id);
CREATE INDEX prospect_research_tenant_page ON public.prospect_research USING btree (user_id, created_at, id);
CREATE INDEX prospect_research_tenant_updated ON public.prospect_research USING btree (user_id, updated_at, id);
alter table prospect_research enable row level security;
alter table prospect_research force row level security;
create policy definer on prospect_research for all to aim_definer using (true) with check (true);
create policy tenant on prospect_research for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on prospect_research for all to aim_worker using (true) with check (true);
grant delete, insert, select, update (natural_key, full_name, email, title, phone, linkedin, attributes, version, updated_at) on prospect_research to aim_api;
grant delete, insert, select, update on prospect_research to aim_worker;
CREATE TRIGGER guard_deleted AFTER DELETE ON public.prospect_research REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER guard_inserted AFTER INSERT ON public.prospect_research REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER guard_updated AFTER UPDATE ON public.prospect_research REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER note_deleted AFTER DELETE ON public.prospect_research REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION aim.note_rows('prospect');
CREATE TRIGGER note_inserted AFTER INSERT ON public.prospect_research REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_rows('prospect');
CREATE TRIGGER note_updated AFTER UPDATE ON public.prospect_research REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_rows('prospect');

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
  constraint research_attempts_pkey PRIMARY KEY (id)
);
CREATE INDEX research_attempts_ask ON public.research_attempts USING btree (ask_id);
CREATE INDEX research_attempts_job ON public.research_attempts USING btree (job_id, started_at);
alter table research_attempts enable row level security;
alter table research_attempts force row level security;
create policy definer on research_attempts for all to aim_definer using (true) with check (true);
create policy tenant on research_attempts for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on research_attempts for all to aim_worker using (true) with check (true);
grant delete, select, update (outcome, http_status, latency_ms, error_code, finished_at) on research_attempts to aim_api;
grant delete, select on research_attempts to aim_definer;
grant delete, insert, select, update on research_attempts to aim_worker;
CREATE TRIGGER keys_inserted AFTER INSERT ON public.research_attempts REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION aim.keys_of_attempts();
CREATE TRIGGER keys_stay BEFORE UPDATE OF id, job_id ON public.research_attempts FOR EACH ROW WHEN (((old.id IS DISTINCT FROM new.id) OR (old.job_id IS DISTINCT FROM new.job_id))) EXECUTE FUNCTION aim.keys_stay();

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
  resume_url text,
  resume_state text not null default 'none'::text,
  resume_attempts integer not null default 0,
  resume_at timestamp with time zone,
  resume_by timestamp with time zone,
  resume_feed_at timestamp with time zone,
  resume_lease_id uuid,
  resume_lease_until timestamp with time zone,
  resume_gone_count integer not null default 0,
  resume_error text,
  expands_until timestamp with time zone,
  constraint research_batches_check CHECK (((status = 'open'::text) = (finished_at IS NULL))),
  constraint research_batches_check1 CHECK (((status <> 'completed'::text) OR ((sealed_at IS NOT NULL) AND (expanded_at IS NOT NULL)))),
  constraint research_batches_check2 CHECK (((expanded_to_created_at IS NULL) = (expanded_to_id IS NULL))),
  constraint research_batches_kind_check CHECK ((kind ~ '^[a-z0-9][a-z0-9_-]{0,62}$'::text)),
  constraint research_batches_priority_check CHECK (((priority >= 0) AND (priority <= 9))),
  constraint research_batches_resume CHECK ((((resume_url IS NULL) OR (resume_state <> 'none'::text)) AND ((resume_url IS NOT NULL) OR (resume_state = ANY (ARRAY['none'::text, 'done'::text, 'failed'::text]))) AND ((resume_state = 'due'::text) = (resume_at IS NOT NULL)) AND ((resume_state <> 'waiting'::text) OR (status = 'open'::text)) AND (resume_attempts >= 0))),
  constraint research_batches_resume_delivery CHECK ((((resume_state = 'due'::text) = (resume_feed_at IS NOT NULL)) AND ((resume_lease_id IS NULL) = (resume_lease_until IS NULL)) AND ((resume_lease_id IS NULL) OR (resume_state = 'due'::text)) AND ((resume_by IS NULL) OR (resume_state <> 'none'::text)) AND ((resume_state <> 'failed'::text) OR (resume_error IS NOT NULL)) AND (resume_gone_count >= 0) AND (length(resume_error) <= 500))),
  constraint research_batches_resume_state CHECK ((resume_state = ANY (ARRAY['none'::text, 'waiting'::text, 'due'::text, 'done'::text, 'failed'::text]))),
  constraint research_batches_resume_url CHECK (((length(resume_url) <= 4000) AND (resume_url ~ '^https?://'::text))),
  constraint research_batches_status_check CHECK ((status = ANY (ARRAY['open'::text, 'completed'::text, 'cancelled'::text]))),
  constraint research_batches_total_check CHECK ((total >= 0)),
  constraint research_batches_campaign_id_user_id_fkey FOREIGN KEY (campaign_id, user_id) REFERENCES campaigns(id, user_id) ON DELETE CASCADE,
  constraint research_batches_provider_id_user_id_fkey FOREIGN KEY (provider_id, user_id) REFERENCES research_providers(id, user_id) ON DELETE CASCADE,
  constraint research_batches_pkey PRIMARY KEY (id)
);
CREATE INDEX research_batches_campaign_page ON public.research_batches USING btree (campaign_id, created_at, id);
CREATE INDEX research_batches_cancelled ON public.research_batches USING btree (finished_at, id) WHERE (status = 'cancelled'::text);
CREATE INDEX research_batches_open ON public.research_batches USING btree (deadline, id) WHERE (status = 'open'::text);
CREATE INDEX research_batches_provider ON public.research_batches USING btree (provider_id);
CREATE INDEX research_batches_resume_by ON public.research_batches USING btree (resume_by, id) WHERE ((resume_state = 'waiting'::text) AND (resume_by IS NOT NULL));
CREATE INDEX research_batches_resume_due ON public.research_batches USING btree (resume_feed_at, id) WHERE (resume_state = 'due'::text);
CREATE INDEX research_batches_tenant_page ON public.research_batches USING btree (user_id, created_at, id);
CREATE INDEX research_batches_unexpanded ON public.research_batches USING btree (id) WHERE ((status = 'open'::text) AND expands_all AND (expanded_at IS NULL));
alter table research_batches enable row level security;
alter table research_batches force row level security;
create policy definer on research_batches for all to aim_definer using (true) with check (true);
create policy tenant on research_batches for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on research_batches for all to aim_worker using (true) with check (true);
grant delete, insert, select, update on research_batches to aim_api;
grant select (id, user_id, campaign_id), update (updated_at) on research_batches to aim_definer;
grant delete, insert, select, update on research_batches to aim_worker;
CREATE TRIGGER forget_resume_url BEFORE INSERT OR UPDATE ON public.research_batches FOR EACH ROW WHEN (((new.resume_url IS NOT NULL) AND (new.status <> 'open'::text) AND (new.resume_state = ANY (ARRAY['done'::text, 'failed'::text])))) EXECUTE FUNCTION aim.forget_resume_url();
CREATE TRIGGER guard_deleted AFTER DELETE ON public.research_batches REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER guard_inserted AFTER INSERT ON public.research_batches REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER guard_updated AFTER UPDATE ON public.research_batches REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER keys_deleted AFTER DELETE ON public.research_batches REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION aim.children_go();
CREATE TRIGGER keys_stay BEFORE UPDATE OF id ON public.research_batches FOR EACH ROW WHEN ((old.id IS DISTINCT FROM new.id)) EXECUTE FUNCTION aim.keys_stay();
CREATE TRIGGER note_deleted AFTER DELETE ON public.research_batches REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION aim.note_states('batch');
CREATE TRIGGER note_inserted AFTER INSERT ON public.research_batches REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_states('batch');
CREATE TRIGGER note_updated AFTER UPDATE ON public.research_batches REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_states('batch');
CREATE TRIGGER tally_deleted AFTER DELETE ON public.research_batches REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION aim.counts_go();

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
  leader_id uuid,
  constraint research_jobs_check CHECK (((status = 'processing'::text) = (lease_until IS NOT NULL))),
  constraint research_jobs_check1 CHECK (((status <> 'processing'::text) OR (attempt_id IS NOT NULL))),
  constraint research_jobs_check2 CHECK (((accepted_at IS NULL) OR (status = 'processing'::text))),
  constraint research_jobs_check3 CHECK (((fed_until IS NULL) OR (status = 'queued'::text))),
  constraint research_jobs_check4 CHECK (((status = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text])) = (finished_at IS NOT NULL))),
  constraint research_jobs_check5 CHECK ((((status = 'failed'::text) = (error_code IS NOT NULL)) OR (status = ANY (ARRAY['queued'::text, 'processing'::text])))),
  constraint research_jobs_crash_count_check CHECK ((crash_count >= 0)),
  constraint research_jobs_error_message_check CHECK ((length(error_message) <= 2000)),
  constraint research_jobs_leader CHECK (((leader_id IS NULL) OR ((leader_id <> id) AND (status <> 'processing'::text)))),
  constraint research_jobs_priority_check CHECK (((priority >= 0) AND (priority <= 9))),
  constraint research_jobs_retry_count_check CHECK ((retry_count >= 0)),
  constraint research_jobs_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'processing'::text, 'completed'::text, 'failed'::text, 'cancelled'::text]))),
  constraint research_jobs_throttle_count_check CHECK ((throttle_count >= 0)),
  constraint research_jobs_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX research_jobs_batch_company ON public.research_jobs USING btree (batch_id, company_id);
CREATE INDEX research_jobs_batch_status ON public.research_jobs USING btree (batch_id, status, company_id);
CREATE INDEX research_jobs_expiry ON public.research_jobs USING btree (lease_until, id) WHERE (status = 'processing'::text);
CREATE INDEX research_jobs_fed ON public.research_jobs USING btree (provider_id, fed_until) WHERE (fed_until IS NOT NULL);
CREATE INDEX research_jobs_leased ON public.research_jobs USING btree (provider_id, lease_until) WHERE (status = 'processing'::text);
CREATE INDEX research_jobs_unfed ON public.research_jobs USING btree (provider_id, priority, run_at, id) WHERE ((status = 'queued'::text) AND (fed_until IS NULL));
alter table research_jobs enable row level security;
alter table research_jobs force row level security;
create policy definer on research_jobs for all to aim_definer using (true) with check (true);
create policy tenant_deletes on research_jobs for delete to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy tenant_inserts on research_jobs for insert to aim_api with check (((user_id = ( SELECT aim.tenant() AS tenant)) AND (EXISTS ( SELECT
   FROM research_batches b
  WHERE ((b.id = research_jobs.batch_id) AND (NOT (b.campaign_id IS DISTINCT FROM research_jobs.campaign_id)) AND (NOT (b.provider_id IS DISTINCT FROM research_jobs.provider_id))))) AND (EXISTS ( SELECT
   FROM companies c
  WHERE ((c.id = research_jobs.company_id) AND (NOT (c.campaign_id IS DISTINCT FROM research_jobs.campaign_id)))))));
create policy tenant_reads on research_jobs for select to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy tenant_updates on research_jobs for update to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on research_jobs for all to aim_worker using (true) with check (true);
grant delete, insert, select, update (status, priority, retry_count, throttle_count, crash_count, error_code, error_message, run_at, fed_until, attempt_id, lease_until, accepted_at, updated_at, finished_at, leader_id) on research_jobs to aim_api;
grant delete, select (id, batch_id, company_id, campaign_id), update (updated_at) on research_jobs to aim_definer;
grant delete, insert, select, update on research_jobs to aim_worker;
CREATE TRIGGER count_deleted AFTER DELETE ON public.research_jobs REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION aim.count_jobs();
CREATE TRIGGER count_inserted AFTER INSERT ON public.research_jobs REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.count_jobs();
CREATE TRIGGER count_updated AFTER UPDATE ON public.research_jobs REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.count_jobs();
CREATE TRIGGER guard_deleted AFTER DELETE ON public.research_jobs REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER guard_inserted AFTER INSERT ON public.research_jobs REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER guard_updated AFTER UPDATE ON public.research_jobs REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.guard_archived();
CREATE TRIGGER keys_deleted AFTER DELETE ON public.research_jobs REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION aim.children_go();
CREATE TRIGGER keys_inserted AFTER INSERT ON public.research_jobs REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION aim.keys_of_jobs();
CREATE TRIGGER keys_stay BEFORE UPDATE OF id, batch_id, company_id ON public.research_jobs FOR EACH ROW WHEN ((((old.id IS DISTINCT FROM new.id) OR (old.batch_id IS DISTINCT FROM new.batch_id)) OR (old.company_id IS DISTINCT FROM new.company_id))) EXECUTE FUNCTION aim.keys_stay();
CREATE TRIGGER note_deleted AFTER DELETE ON public.research_jobs REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION aim.note_states('job');
CREATE TRIGGER note_inserted AFTER INSERT ON public.research_jobs REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_states('job');
CREATE TRIGGER note_updated AFTER UPDATE ON public.research_jobs REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_states('job');

create table research_outbox (
  feed_id uuid not null,
  user_id uuid not null,
  part integer not null,
  job_ids uuid[] not null,
  picked_at timestamp with time zone not null default now(),
  constraint research_outbox_pkey PRIMARY KEY (feed_id, user_id, part)
);
CREATE INDEX research_outbox_picked ON public.research_outbox USING btree (picked_at);
alter table research_outbox enable row level security;
alter table research_outbox force row level security;
create policy definer on research_outbox for all to aim_definer using (true) with check (true);
create policy tenant on research_outbox for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false)) with check (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on research_outbox for all to aim_worker using (true) with check (true);
grant delete, insert, select on research_outbox to aim_api;
grant delete, insert, select, update on research_outbox to aim_worker;

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
  circuit text not null default 'closed'::text,
  circuit_reason text,
  failed_asks integer not null default 0,
  circuit_trips integer not null default 0,
  probe_until timestamp with time zone,
  adapted_rate double precision,
  adapted_at timestamp with time zone,
  adapted_from double precision,
  quota_asks integer,
  quota_until timestamp with time zone,
  weight integer not null default 1,
  former_secret text,
  secret_changed_at timestamp with time zone,
  constraint research_providers_batch_size_check CHECK (((batch_size >= 1) AND (batch_size <= 100))),
  constraint research_providers_circuit CHECK (((circuit = ANY (ARRAY['closed'::text, 'open'::text, 'half_open'::text])) AND ((circuit = 'closed'::text) = (circuit_reason IS NULL)) AND ((circuit = 'half_open'::text) = (probe_until IS NOT NULL)) AND ((circuit <> 'open'::text) OR (paused_until IS NOT NULL)) AND (failed_asks >= 0) AND (circuit_trips >= 0))),
  constraint research_providers_concurrency_check CHECK ((concurrency > 0)),
  constraint research_providers_kind_check CHECK ((kind = ANY (ARRAY['webhook'::text, 'clay'::text]))),
  constraint research_providers_lease_seconds_check CHECK (((lease_seconds >= 1) AND (lease_seconds <= 86400))),
  constraint research_providers_max_retries_check CHECK (((max_retries >= 0) AND (max_retries <= 20))),
  constraint research_providers_name_check CHECK ((name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'::text)),
  constraint research_providers_quota CHECK (((quota_asks IS NULL) = (quota_until IS NULL))),
  constraint research_providers_rate CHECK (((adapted_rate > (0)::double precision) AND ((adapted_rate IS NULL) = (adapted_at IS NULL)) AND ((adapted_rate IS NULL) = (adapted_from IS NULL)))),
  constraint research_providers_rate_per_second_check CHECK ((rate_per_second > (0)::double precision)),
  constraint research_providers_secret_check CHECK ((secret ~~ 'whsec\_%'::text)),
  constraint research_providers_timeout_ms_check CHECK (((timeout_ms >= 100) AND (timeout_ms <= 90000))),
  constraint research_providers_url_check CHECK (((length(url) <= 2000) AND (url ~ '^https?://'::text))),
  constraint research_providers_weight CHECK (((weight >= 1) AND (weight <= 100))),
  constraint research_providers_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint research_providers_pkey PRIMARY KEY (id),
  constraint research_providers_id_user_id_key UNIQUE (id, user_id),
  constraint research_providers_user_id_name_key UNIQUE (user_id, name)
);
CREATE INDEX research_providers_page ON public.research_providers USING btree (user_id, created_at, id);
alter table research_providers enable row level security;
alter table research_providers force row level security;
create policy definer on research_providers for all to aim_definer using (true) with check (true);
create policy tenant on research_providers for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on research_providers for all to aim_worker using (true) with check (true);
grant delete, insert, select, update on research_providers to aim_api;
grant select on research_providers to aim_definer;
grant delete, insert, select, update on research_providers to aim_worker;
CREATE TRIGGER keep_former_secret BEFORE UPDATE OF secret ON public.research_providers FOR EACH ROW WHEN ((old.secret IS DISTINCT FROM new.secret)) EXECUTE FUNCTION aim.keep_former_secret();
CREATE TRIGGER note_deleted AFTER DELETE ON public.research_providers REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION aim.note_providers('provider');
CREATE TRIGGER note_inserted AFTER INSERT ON public.research_providers REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_providers('provider');
CREATE TRIGGER note_updated AFTER UPDATE ON public.research_providers REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION aim.note_providers('provider');

create table subscriptions (
  id uuid not null default uuidv7(),
  user_id uuid not null,
  key text not null,
  url text not null,
  secret text not null,
  events text[] not null,
  filter jsonb not null default '{}'::jsonb,
  status text not null default 'active'::text,
  cursor_epoch text not null,
  cursor_xid xid8 not null,
  cursor_seq bigint not null,
  cursor_offset integer not null default 0,
  lease_until timestamp with time zone,
  lease_id uuid,
  failure_count integer not null default 0,
  next_at timestamp with time zone not null default now(),
  error_code text,
  error_message text,
  version bigint not null default 1,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint subscriptions_check CHECK (((lease_until IS NULL) = (lease_id IS NULL))),
  constraint subscriptions_check1 CHECK (((status <> 'disabled'::text) OR (error_code IS NOT NULL))),
  constraint subscriptions_cursor_offset_check CHECK (((cursor_offset >= 0) AND (cursor_offset <= 1000))),
  constraint subscriptions_error_message_check CHECK ((length(error_message) <= 2000)),
  constraint subscriptions_events_check CHECK (((cardinality(events) >= 1) AND (cardinality(events) <= 50))),
  constraint subscriptions_failure_count_check CHECK ((failure_count >= 0)),
  constraint subscriptions_filter_check CHECK ((jsonb_typeof(filter) = 'object'::text)),
  constraint subscriptions_key_check CHECK ((key ~ '^[a-z0-9][a-z0-9_-]{0,62}$'::text)),
  constraint subscriptions_secret_check CHECK ((secret ~~ 'whsec\_%'::text)),
  constraint subscriptions_status_check CHECK ((status = ANY (ARRAY['active'::text, 'paused'::text, 'disabled'::text]))),
  constraint subscriptions_url_check CHECK (((length(url) <= 2000) AND (url ~ '^https?://'::text))),
  constraint subscriptions_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE,
  constraint subscriptions_pkey PRIMARY KEY (id),
  constraint subscriptions_user_id_key_key UNIQUE (user_id, key)
);
CREATE INDEX subscriptions_due ON public.subscriptions USING btree (next_at, id) WHERE (status = 'active'::text);
CREATE INDEX subscriptions_page ON public.subscriptions USING btree (user_id, created_at, id);
alter table subscriptions enable row level security;
alter table subscriptions force row level security;
create policy definer on subscriptions for all to aim_definer using (true) with check (true);
create policy tenant on subscriptions for all to aim_api using (COALESCE((user_id = ( SELECT aim.tenant() AS tenant)), false));
create policy worker on subscriptions for all to aim_worker using (true) with check (true);
grant delete, insert, select, update on subscriptions to aim_api;
grant delete, insert, select, update on subscriptions to aim_worker;

CREATE OR REPLACE FUNCTION aim.archive_checksum(archive uuid)
 RETURNS bytea
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
    select sha256(convert_to(coalesce(string_agg(
      format('%s %s %s %s', table_name, number, row_count, encode(sha256, 'hex')), E'\n'
      order by table_name collate "C", number), ''), 'UTF8'))
    from archive_chunks where archive_id = archive
  $function$;

CREATE OR REPLACE FUNCTION aim.archive_salt(tenant uuid)
 RETURNS bytea
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
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
$function$
;
alter function aim.archive_salt(uuid) owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.archive_token(salt bytea, word text)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
 SET search_path TO 'pg_catalog'
AS $function$ select ('x' || encode(substr(sha256(salt || convert_to(word, 'UTF8')), 1, 4), 'hex'))::bit(32)::int $function$;

CREATE OR REPLACE FUNCTION aim.archived_rows(archive uuid, relation text, chunk integer)
 RETURNS SETOF jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
    select jsonb_build_object('user_id', k.user_id)
      || case when relation in ('research_attempts', 'late_results') then '{}'
        else jsonb_build_object('campaign_id', k.archive_id) end
      || r.row
    from archive_chunks k
    cross join lateral (
      -- Not jsonb_object_agg, which is quadratic in the strings of a large value.
      select v.place, json_object_agg(n.value ->> 0,
        case when n.value ->> 2 = 'wrapped' then v.value -> 0 else v.value end)::jsonb as row
      from jsonb_array_elements(k.columns) with ordinality n (value, place)
      join jsonb_array_elements(k.rows) with ordinality c (value, place) on c.place = n.place
      cross join lateral jsonb_array_elements(aim.chunk_column(c.value, n.value ->> 1, k.row_count)) with ordinality v (value, place)
      group by v.place
    ) r
    where k.archive_id = archive and k.table_name = relation and k.number = chunk
    order by r.place
  $function$;

CREATE OR REPLACE FUNCTION aim.authenticate(key_hash bytea)
 RETURNS TABLE(user_id uuid, id uuid, name text, prefix text, scopes text[])
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  found_key api_keys;
begin
  select * into found_key from api_keys k where k.hash = key_hash and k.revoked_at is null;
  if not found then
    return;
  end if;
  if found_key.last_used_at is null or found_key.last_used_at < now() - interval '1 minute' then
    -- Skipped when another request is just noting the same: nobody waits for this.
    update api_keys k set last_used_at = now()
    where k.id in (select l.id from api_keys l where l.id = found_key.id for update skip locked);
  end if;
  return query select found_key.user_id, found_key.id, found_key.name, found_key.prefix, found_key.scopes;
end
$function$
;
alter function aim.authenticate(bytea) owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.campaign_is_whole(tenant uuid, campaign uuid)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
AS $function$
declare
  is_archived boolean;
begin
  select c.archived into is_archived from public.campaigns c
  where c.id = campaign and c.user_id = tenant and c.deleted_at is null;
  if is_archived then
    raise exception 'campaign % is archived, or on its way there or back; read its archive (/v1/archives), or restore it and wait until that is done', campaign
      using errcode = 'AIM02';
  end if;
  return is_archived is not null;
end
$function$;

CREATE OR REPLACE FUNCTION aim.changed_since(tenant uuid, since xid8)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
AS $function$
begin
  return exists (select from changes where user_id = tenant and xid >= since);
end
$function$;

CREATE OR REPLACE FUNCTION aim.children_go()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
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
$function$
;
alter function aim.children_go() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.chunk_column(given jsonb, type text, n integer)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog'
 SET "TimeZone" TO 'UTC'
AS $function$
    select case when jsonb_array_length(k.kept) = n then k.kept else to_jsonb(array_fill(k.kept -> 0, array[n])) end
    from (
      select case when jsonb_typeof(given) <> 'string' then given
        when type = 'uuid' then to_jsonb(string_to_array(given #>> '{}', ',', 'null')::uuid[])
        when type like '%with time zone' then to_jsonb(string_to_array(given #>> '{}', ',', 'null')::timestamptz[])
        else to_jsonb(string_to_array(given #>> '{}', ',', 'null')::timestamp[]) end as kept
      offset 0
    ) k
  $function$;

CREATE OR REPLACE FUNCTION aim.chunk_of(given jsonb)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog'
AS $function$
    select to_jsonb(array_agg(c.kept order by c.place))
    from (
      select v.place, case when v.place = 1 then to_jsonb(string_agg(replace(v.value #>> '{}', '-', ''), ',' order by r.place))
          else to_jsonb(array_agg(v.value order by r.place)) end as kept
      from jsonb_array_elements(given) with ordinality r (value, place)
      cross join lateral jsonb_array_elements(r.value) with ordinality v (value, place)
      group by v.place
    ) c
  $function$;

CREATE OR REPLACE FUNCTION aim.chunk_rows(columns jsonb, given jsonb, n integer)
 RETURNS SETOF jsonb
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog'
AS $function$
    select to_jsonb(array_agg(v.value order by c.place))
    from jsonb_array_elements(columns) with ordinality t (value, place)
    join jsonb_array_elements(given) with ordinality c (value, place) on c.place = t.place
    cross join lateral jsonb_array_elements(aim.chunk_column(c.value, t.value ->> 1, n)) with ordinality v (value, place)
    group by v.place order by v.place
  $function$;

CREATE OR REPLACE FUNCTION aim.chunk_sha256(columns jsonb, rows jsonb)
 RETURNS bytea
 LANGUAGE sql
 STABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog'
AS $function$ select sha256(convert_to(columns::text || rows::text, 'UTF8')) $function$;

CREATE OR REPLACE FUNCTION aim.chunk_size(rows jsonb)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog'
AS $function$ select (octet_length(rows ->> 0) + 1) / 33 $function$;

CREATE OR REPLACE FUNCTION aim.chunk_texts(given jsonb, n integer)
 RETURNS SETOF text
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog'
AS $function$
begin
  if jsonb_typeof(given) = 'array' then
    if jsonb_array_length(given) = n then
      return query select jsonb_array_elements_text(given);
    else
      return query select given ->> 0 from generate_series(1, n);
    end if;
  elsif strpos(given #>> '{}', ',') = 0 then
    return query select nullif(given #>> '{}', 'null') from generate_series(1, n);
  else
    return query select string_to_table(given #>> '{}', ',', 'null');
  end if;
end
$function$;

CREATE OR REPLACE FUNCTION aim.cluster_epoch()
 RETURNS text
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog'
AS $function$
    select to_hex(system_identifier) || '-' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) from pg_control_system()
  $function$;

CREATE OR REPLACE FUNCTION aim.company_renamed()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
begin
  execute $sql$
    with renamed as (
      select n.id, n.search_vector from new_rows n join old_rows o on o.id = n.id
      where (o.name, o.domain) is distinct from (n.name, n.domain)
    ), held as (
      select r.id, renamed.search_vector from renamed join company_research r on r.company_id = renamed.id
      order by r.company_id, r.kind for no key update of r
    )
    update company_research r set search_vector = held.search_vector from held where r.id = held.id
  $sql$;
  return null;
end
$function$
;
alter function aim.company_renamed() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.company_search_vector()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
begin
  new.search_vector := aim.search_vector(new.name, new.domain);
  return new;
end
$function$
;
alter function aim.company_search_vector() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.contact_search_vector()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
begin
  new.search_vector := aim.search_vector(new.full_name, new.title, new.email);
  return new;
end
$function$
;
alter function aim.contact_search_vector() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.contacts_by_email(tenant uuid, campaign uuid, keys text[])
 RETURNS TABLE(key text, id uuid)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_sort TO 'off'
 SET enable_bitmapscan TO 'off'
AS $function$
begin
  perform aim.search_guard(tenant);
  return query select k.key, c.id from unnest(keys) k (key)
    cross join lateral (
      select contacts.id, contacts.user_id from contacts
      where campaign_id = campaign and email is not null and lower(email) >= k.key and lower(email) <= k.key
      order by lower(email) limit 1
    ) c
    where c.user_id = tenant;
end
$function$
;
alter function aim.contacts_by_email(uuid,uuid,text[]) owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.count_deleted()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
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
$function$
;
alter function aim.count_deleted() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.count_inserted()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
begin
  insert into campaign_count_deltas (user_id, campaign_id, companies, contacts)
  select user_id, campaign_id,
    case tg_table_name when 'companies' then count(*) else 0 end,
    case tg_table_name when 'contacts' then count(*) else 0 end
  from added group by user_id, campaign_id;
  return null;
end
$function$
;
alter function aim.count_inserted() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.count_jobs()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
begin
  case tg_op
    when 'INSERT' then
      insert into batch_counts (user_id, batch_id, queued, processing, completed, failed, cancelled, retries)
      select user_id, batch_id,
        count(*) filter (where status = 'queued'), count(*) filter (where status = 'processing'),
        count(*) filter (where status = 'completed'), count(*) filter (where status = 'failed'),
        count(*) filter (where status = 'cancelled'), sum(retry_count)
      from after group by user_id, batch_id;
    when 'UPDATE' then
      insert into batch_counts (user_id, batch_id, queued, processing, completed, failed, cancelled, retries)
      select user_id, batch_id,
        coalesce(sum(n) filter (where status = 'queued'), 0), coalesce(sum(n) filter (where status = 'processing'), 0),
        coalesce(sum(n) filter (where status = 'completed'), 0), coalesce(sum(n) filter (where status = 'failed'), 0),
        coalesce(sum(n) filter (where status = 'cancelled'), 0), sum(retries)
      from (
        select user_id, batch_id, status, sum(n) as n, sum(n * retry_count) as retries
        from (
          select user_id, batch_id, status, retry_count, 1 as n from after
          union all
          select user_id, batch_id, status, retry_count, -1 from before
        ) both_ways
        group by user_id, batch_id, status
      ) moved
      group by user_id, batch_id having bool_or(n <> 0) or sum(retries) <> 0;
    when 'DELETE' then
      insert into batch_counts (user_id, batch_id, queued, processing, completed, failed, cancelled, retries)
      select user_id, batch_id, -queued, -processing, -completed, -failed, -cancelled, -retries
      from (
        select user_id, batch_id,
          count(*) filter (where status = 'queued') as queued, count(*) filter (where status = 'processing') as processing,
          count(*) filter (where status = 'completed') as completed, count(*) filter (where status = 'failed') as failed,
          count(*) filter (where status = 'cancelled') as cancelled, sum(retry_count) as retries
        from before group by user_id, batch_id
      ) gone
      -- Jobs that go because their batch went count for nobody.
      where exists (select from research_batches b where b.id = gone.batch_id);
  end case;
  return null;
end
$function$
;
alter function aim.count_jobs() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.count_moved()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
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
$function$
;
alter function aim.count_moved() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.counts_go()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
begin
  delete from batch_counts where batch_id = any((select array_agg(id) from removed)::uuid[]);
  return null;
end
$function$
;
alter function aim.counts_go() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.email_hash(tenant uuid, email text)
 RETURNS bytea
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
begin
  perform aim.search_guard(tenant);
  return sha256(aim.archive_salt(tenant) || convert_to('erased:' || lower(email), 'UTF8'));
end
$function$
;
alter function aim.email_hash(uuid,text) owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.find_archived(tenant uuid, word text, after_archive uuid, after_table text, after_number integer, at_most integer)
 RETURNS TABLE(archive_id uuid, table_name text, number integer)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
begin
  perform aim.search_guard(tenant);
  return query
    select l.archive_id, l.table_name, l.number
    from archive_lookup l join archived_campaigns a on a.id = l.archive_id and a.purging_at is null
    where l.hashes @> array[aim.archive_token(aim.archive_salt(tenant), lower(word))] and l.user_id = tenant
      and (after_archive is null or (l.archive_id, l.table_name, l.number) > (after_archive, after_table, after_number))
    order by l.archive_id, l.table_name, l.number limit at_most;
end
$function$
;
alter function aim.find_archived(uuid,text,uuid,text,integer,integer) owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.find_ask(ask uuid)
 RETURNS TABLE(user_id uuid, provider_id uuid, secret text)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
    select p.user_id, p.id, unnest(case
      when a.started_at < p.secret_changed_at and now() < p.secret_changed_at + make_interval(secs => p.lease_seconds)
      then array[p.secret, p.former_secret] else array[p.secret] end)
    from (select provider_id, started_at from research_attempts where ask_id = ask limit 1) a
    join research_providers p on p.id = a.provider_id
  $function$
;
alter function aim.find_ask(uuid) owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.fold_counts(tenant uuid, batch uuid)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
declare
  taken_rows int;
begin
  perform aim.search_guard(tenant);
  -- One fold at a time, the sweep's among them: two would take the same rows.
  if not pg_try_advisory_xact_lock(hashtextextended('aim.batch_counts.fold', 0)) then
    return 0;
  end if;
  -- Lock in one statement, look in the next: a batch that is being deleted is skipped, or stays until we are done.
  perform from research_batches where id = batch and user_id = tenant for key share skip locked;
  if not found then
    return 0;
  end if;
  with taken as (
    delete from batch_counts
    where ctid = any(array(select ctid from batch_counts where batch_id = batch limit 5000))
    returning user_id, batch_id, queued, processing, completed, failed, cancelled, retries
  ), kept as (
    insert into batch_counts (user_id, batch_id, queued, processing, completed, failed, cancelled, retries, folded)
    select user_id, batch_id, sum(queued), sum(processing), sum(completed), sum(failed), sum(cancelled), sum(retries), true
    from taken group by user_id, batch_id
  )
  select count(*) into taken_rows from taken;
  return taken_rows;
end
$function$
;
alter function aim.fold_counts(uuid,uuid) owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.forget_resume_url()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  new.resume_url := null;
  return new;
end
$function$;

CREATE OR REPLACE FUNCTION aim.guard_archived()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
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
$function$
;
alter function aim.guard_archived() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.guard_late_results()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
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
$function$
;
alter function aim.guard_late_results() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.index_chunk()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
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
  with email as materialized (
    select lower(e.value) as email from jsonb_array_elements_text(new.rows -> email_at) e (value)
  ), word as (
    select 'e:' || email as word from email
    union all select distinct 'd:' || split_part(email, '@', 2) from email where email like '%@%'
    union all select 'd:' || lower(d.value) from jsonb_array_elements_text(new.rows -> domain_at) d (value)
  ), hashed as (
    select sha256(key || convert_to(word, 'UTF8')) as hash from word where word is not null offset 0
  )
  select new.archive_id, new.table_name, new.number, new.user_id, coalesce(array_agg(distinct
    (get_byte(hash, 0) << 24) | (get_byte(hash, 1) << 16) | (get_byte(hash, 2) << 8) | get_byte(hash, 3)), '{}')
  from hashed
  on conflict (archive_id, table_name, number) do update set hashes = excluded.hashes;
  return null;
end
$function$
;
alter function aim.index_chunk() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.keep_former_secret()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
begin
  new.former_secret := old.secret;
  new.secret_changed_at := clock_timestamp();
  return new;
end
$function$;

CREATE OR REPLACE FUNCTION aim.keys_of_attempts()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
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
$function$
;
alter function aim.keys_of_attempts() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.keys_of_jobs()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
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
$function$
;
alter function aim.keys_of_jobs() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.keys_stay()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  raise exception 'a row of % keeps its id and what it hangs on', tg_table_name using errcode = '23001';
end
$function$;

CREATE OR REPLACE FUNCTION aim.make_change_partitions(days_ahead integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET lock_timeout TO '500ms'
 SET "TimeZone" TO 'UTC'
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION aim.match_companies(tenant uuid, campaign uuid, gone uuid[], query tsquery, keys tsquery, OUT ids uuid[], OUT ranks real[], OUT complete boolean)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
        begin
          with found as materialized (
            select c.id, c.user_id, c.campaign_id, c.created_at, c.search_vector from companies c
            where aim.search_keys(c.user_id, c.campaign_id, c.search_vector) @@ keys limit 20001
          ), newest as (
            select f.id, f.search_vector from found f
            where f.user_id = tenant and (campaign is null or f.campaign_id = campaign) and f.campaign_id <> all (gone)
            order by f.created_at desc, f.id desc limit 1000
          )
          select array_agg(n.id), array_agg(ts_rank(n.search_vector, query)), (select count(*) <= 20000 from found)
          into ids, ranks, complete from newest n;
        end
        $function$;

CREATE OR REPLACE FUNCTION aim.match_contacts(tenant uuid, campaign uuid, gone uuid[], query tsquery, keys tsquery, OUT ids uuid[], OUT ranks real[], OUT complete boolean)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
        begin
          with found as materialized (
            select c.id, c.user_id, c.campaign_id, c.created_at, c.search_vector from contacts c
            where aim.search_keys(c.user_id, c.campaign_id, c.search_vector) @@ keys limit 20001
          ), newest as (
            select f.id, f.search_vector from found f
            where f.user_id = tenant and (campaign is null or f.campaign_id = campaign) and f.campaign_id <> all (gone)
            order by f.created_at desc, f.id desc limit 1000
          )
          select array_agg(n.id), array_agg(ts_rank(n.search_vector, query)), (select count(*) <= 20000 from found)
          into ids, ranks, complete from newest n;
        end
        $function$;

CREATE OR REPLACE FUNCTION aim.match_research(tenant uuid, campaign uuid, gone uuid[], query tsquery, keys tsquery, OUT ids uuid[], OUT ranks real[], OUT complete boolean)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
        begin
          with found as materialized (
            select c.id, c.user_id, c.campaign_id, c.created_at, c.search_vector from company_research c
            where aim.search_keys(c.user_id, c.campaign_id, c.search_vector) @@ keys limit 20001
          ), newest as (
            select f.id, f.search_vector from found f
            where f.user_id = tenant and (campaign is null or f.campaign_id = campaign) and f.campaign_id <> all (gone)
            order by f.created_at desc, f.id desc limit 1000
          )
          select array_agg(n.id), array_agg(ts_rank(n.search_vector, query)), (select count(*) <= 20000 from found)
          into ids, ranks, complete from newest n;
        end
        $function$;

CREATE OR REPLACE FUNCTION aim.note_campaigns()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
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
$function$
;
alter function aim.note_campaigns() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.note_providers()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
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
$function$
;
alter function aim.note_providers() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.note_rows()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
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
      execute $sql$
        insert into changes (user_id, campaign_id, entity, op, ids)
        select n.user_id, n.campaign_id, $1, 'update', array_agg(n.id)
        from (
          select a.user_id, a.campaign_id, a.id, (row_number() over (partition by a.campaign_id) - 1) / 1000 as part
          from after a join before b on b.id = a.id where a.version <> b.version
        ) n
        where exists (select from campaigns c where c.id = n.campaign_id and not c.archived and c.deleted_at is null)
        group by n.user_id, n.campaign_id, n.part
      $sql$ using tg_argv[0];
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
$function$
;
alter function aim.note_rows() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.note_states()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
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
      execute $sql$
        insert into changes (user_id, campaign_id, entity, op, ids)
        select g.user_id, g.campaign_id, $1, g.status, g.ids
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
        where exists (select from campaigns c where c.id = g.campaign_id and not c.archived and c.deleted_at is null)
      $sql$ using tg_argv[0];
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
$function$
;
alter function aim.note_states() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.prune_changes(retention_days integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET lock_timeout TO '500ms'
 SET "TimeZone" TO 'UTC'
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION aim.purge_deleted()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
begin
  update archived_campaigns set purging_at = now(), updated_at = now() where id = new.id and purging_at is null;
  return null;
end
$function$
;
alter function aim.purge_deleted() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.reopen_restored()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
begin
  new.closed_at := null;
  return new;
end
$function$;

CREATE OR REPLACE FUNCTION aim.research_search_current()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
begin
  perform from added a join companies c on c.id = a.company_id
  where a.search_vector is distinct from c.search_vector limit 1;
  if found then
    update company_research r set search_vector = c.search_vector
    from added a join companies c on c.id = a.company_id
    where r.id = a.id and r.search_vector is distinct from c.search_vector;
  end if;
  return null;
end
$function$
;
alter function aim.research_search_current() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.research_search_vector()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
begin
  new.search_vector := (select c.search_vector from companies c where c.id = new.company_id);
  return new;
end
$function$
;
alter function aim.research_search_vector() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.schema_version()
 RETURNS text
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
begin
  return (select name from aim_migrations order by id desc limit 1);
end
$function$
;
alter function aim.schema_version() owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.search_companies(tenant uuid, campaign uuid, q text, only_way text, after_rank real, after_id uuid, wanted integer)
 RETURNS TABLE(id uuid, rank real, way text)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
        declare
          query tsquery := aim.search_query(q);
          -- Campaigns that are being deleted are out of sight.
          gone uuid[] := array(select c.id from campaigns c where c.user_id = tenant and c.deleted_at is not null);
          walked record;
          matched record;
          ids uuid[];
          ranks real[];
        begin
          perform aim.search_guard(tenant);
          if query is null then
            raise exception 'the search names nothing to look for' using errcode = 'AIM01';
          end if;
          if campaign = any (gone) then
            return;
          end if;
          if only_way is distinct from 'similar' then
            way := 'exact';
            select * into walked from aim.walk_companies(tenant, campaign, gone, query, false);
            ids := walked.ids;
            ranks := walked.ranks;
            if not walked.complete then
              select * into matched
              from aim.match_companies(tenant, campaign, gone, query, aim.search_keys(tenant, campaign, query));
              if matched.complete then
                ids := matched.ids;
                ranks := matched.ranks;
              else
                -- Too many to look at all, too few among the newest: those, and what else was seen.
                select * into walked from aim.walk_companies(tenant, campaign, gone, query, true);
                select array_agg(u.i), array_agg(u.r) into ids, ranks from (
                  select * from unnest(walked.ids, walked.ranks) w (i, r)
                  union all
                  select * from unnest(matched.ids, matched.ranks) m (i, r)
                  where m.i not in (select unnest(walked.ids))
                  limit 1000) u;
              end if;
            end if;
          end if;
          -- Whoever quotes or leaves out wants just that.
          if ids is null and only_way is distinct from 'exact' and q !~ '"' and query::text !~ '!' then
            way := 'similar';
            select s.ids, s.ranks into ids, ranks from aim.similar_companies(tenant, campaign, gone, q) s;
          end if;
          return query select u.i, u.r, way from unnest(ids, ranks) u (i, r)
            where after_id is null or (u.r, u.i) < (after_rank, after_id)
            order by u.r desc, u.i desc limit wanted;
        end
        $function$
;
alter function aim.search_companies(uuid,uuid,text,text,real,uuid,integer) owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.search_contacts(tenant uuid, campaign uuid, q text, only_way text, after_rank real, after_id uuid, wanted integer)
 RETURNS TABLE(id uuid, rank real, way text)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
        declare
          query tsquery := aim.search_query(q);
          -- Campaigns that are being deleted are out of sight.
          gone uuid[] := array(select c.id from campaigns c where c.user_id = tenant and c.deleted_at is not null);
          walked record;
          matched record;
          ids uuid[];
          ranks real[];
        begin
          perform aim.search_guard(tenant);
          if query is null then
            raise exception 'the search names nothing to look for' using errcode = 'AIM01';
          end if;
          if campaign = any (gone) then
            return;
          end if;
          if only_way is distinct from 'similar' then
            way := 'exact';
            select * into walked from aim.walk_contacts(tenant, campaign, gone, query, false);
            ids := walked.ids;
            ranks := walked.ranks;
            if not walked.complete then
              select * into matched
              from aim.match_contacts(tenant, campaign, gone, query, aim.search_keys(tenant, campaign, query));
              if matched.complete then
                ids := matched.ids;
                ranks := matched.ranks;
              else
                -- Too many to look at all, too few among the newest: those, and what else was seen.
                select * into walked from aim.walk_contacts(tenant, campaign, gone, query, true);
                select array_agg(u.i), array_agg(u.r) into ids, ranks from (
                  select * from unnest(walked.ids, walked.ranks) w (i, r)
                  union all
                  select * from unnest(matched.ids, matched.ranks) m (i, r)
                  where m.i not in (select unnest(walked.ids))
                  limit 1000) u;
              end if;
            end if;
          end if;
          -- Whoever quotes or leaves out wants just that.
          if ids is null and only_way is distinct from 'exact' and q !~ '"' and query::text !~ '!' then
            way := 'similar';
            select s.ids, s.ranks into ids, ranks from aim.similar_contacts(tenant, campaign, gone, q) s;
          end if;
          return query select u.i, u.r, way from unnest(ids, ranks) u (i, r)
            where after_id is null or (u.r, u.i) < (after_rank, after_id)
            order by u.r desc, u.i desc limit wanted;
        end
        $function$
;
alter function aim.search_contacts(uuid,uuid,text,text,real,uuid,integer) owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.search_guard(tenant uuid)
 RETURNS void
 LANGUAGE plpgsql
 STABLE
AS $function$
declare
  caller text := coalesce(nullif(current_setting('role', true), 'none'), session_user);
begin
  if tenant is distinct from aim.tenant() and (aim.tenant() is not null or not pg_has_role(caller, 'aim_worker', 'member')) then
    raise exception 'search is bound to another tenant' using errcode = 'insufficient_privilege';
  end if;
end
$function$;

CREATE OR REPLACE FUNCTION aim.search_keys(tenant uuid, campaign uuid, query tsquery)
 RETURNS tsquery
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN (((('('::text || regexp_replace((query)::text, '(^|[ (!])'''::text, ('\1'''::text || aim.search_mark(tenant)), 'g'::text)) || ')'::text) || COALESCE((((' & '''::text || aim.search_mark(tenant)) || (campaign)::text) || ''''::text), ''::text)))::tsquery;

CREATE OR REPLACE FUNCTION aim.search_keys(tenant uuid, campaign uuid, words tsvector)
 RETURNS tsvector
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN (((((replace((' '::text || (words)::text), ' '''::text, (' '''::text || aim.search_mark(tenant))) || ' '''::text) || aim.search_mark(tenant)) || (campaign)::text) || ''''::text))::tsvector;

CREATE OR REPLACE FUNCTION aim.search_mark(tenant uuid)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN ("right"((tenant)::text, 8) || '/'::text);

CREATE OR REPLACE FUNCTION aim.search_name(value text)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
    begin
      return public.unaccent('public.unaccent'::pg_catalog.regdictionary, aim.search_text(value, ' '));
    end
    $function$;

CREATE OR REPLACE FUNCTION aim.search_query(q text)
 RETURNS tsquery
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET client_min_messages TO 'error'
AS $function$
declare
  host text := regexp_replace(left(q, 256), '(^|[[:space:]"-])(?:https?://(?:www[.])?|www[.])', '\1', 'gi');
  -- Outside quotes a minus before a word leaves it out; any other is a mark.
  marked text := (
    select string_agg(
      case when n % 2 = 0 then replace(part, '-', '#') else regexp_replace(part, '(?<=[^[:space:]])-', '#', 'g') end,
      '"' order by n)
    from string_to_table(aim.search_text(host, '#'), '"') with ordinality parts (part, n));
  sought tsquery := websearch_to_tsquery('aim.names', marked);
begin
  if marked !~ '[[:space:]"#-]$' and marked !~ '(^|[[:space:]])-[^[:space:]]*$' then
    sought := regexp_replace(sought::text, '''(\)*)$', ''':*\1')::tsquery;
  end if;
  return case when querytree(sought) not in ('', 'T') then sought end;
end
$function$;

CREATE OR REPLACE FUNCTION aim.search_research(tenant uuid, campaign uuid, q text, only_way text, after_rank real, after_id uuid, wanted integer)
 RETURNS TABLE(id uuid, rank real, way text)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
AS $function$
        declare
          query tsquery := aim.search_query(q);
          -- Campaigns that are being deleted are out of sight.
          gone uuid[] := array(select c.id from campaigns c where c.user_id = tenant and c.deleted_at is not null);
          walked record;
          matched record;
          ids uuid[];
          ranks real[];
        begin
          perform aim.search_guard(tenant);
          if query is null then
            raise exception 'the search names nothing to look for' using errcode = 'AIM01';
          end if;
          if campaign = any (gone) then
            return;
          end if;
          if only_way is distinct from 'similar' then
            way := 'exact';
            select * into walked from aim.walk_research(tenant, campaign, gone, query, false);
            ids := walked.ids;
            ranks := walked.ranks;
            if not walked.complete then
              select * into matched
              from aim.match_research(tenant, campaign, gone, query, aim.search_keys(tenant, campaign, query));
              if matched.complete then
                ids := matched.ids;
                ranks := matched.ranks;
              else
                -- Too many to look at all, too few among the newest: those, and what else was seen.
                select * into walked from aim.walk_research(tenant, campaign, gone, query, true);
                select array_agg(u.i), array_agg(u.r) into ids, ranks from (
                  select * from unnest(walked.ids, walked.ranks) w (i, r)
                  union all
                  select * from unnest(matched.ids, matched.ranks) m (i, r)
                  where m.i not in (select unnest(walked.ids))
                  limit 1000) u;
              end if;
            end if;
          end if;
          -- Whoever quotes or leaves out wants just that.
          if ids is null and only_way is distinct from 'exact' and q !~ '"' and query::text !~ '!' then
            way := 'similar';
            select s.ids, s.ranks into ids, ranks from aim.similar_research(tenant, campaign, gone, q) s;
          end if;
          return query select u.i, u.r, way from unnest(ids, ranks) u (i, r)
            where after_id is null or (u.r, u.i) < (after_rank, after_id)
            order by u.r desc, u.i desc limit wanted;
        end
        $function$
;
alter function aim.search_research(uuid,uuid,text,text,real,uuid,integer) owner to aim_definer;

CREATE OR REPLACE FUNCTION aim.search_text(value text, mark text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN ((value COLLATE "C") !~ '[^a-zA-Z0-9 ]'::text) THEN (lower(("left"(value, 500) COLLATE "C")) COLLATE "default") WHEN (octet_length(value) = length(value)) THEN (regexp_replace(lower(("left"(value, 500) COLLATE "C")), '[!#-,./:-@[-`{-~]'::text, mark, 'g'::text) COLLATE "default") ELSE ("left"(translate(lower((NORMALIZE("left"(value, 500), NFKC) COLLATE "und-x-icu")), '!#$%&''()*+,./:;<=>?@[\]^_`{|}~ ¡¦§«°¶·»¿           ​    ⁠　﻿‐‑‒–—―⁄‘’‚‛“”„‟•…‹›™、。「」・،؛؟'::text, repeat(mark, 87)), 500) COLLATE "default") END;

CREATE OR REPLACE FUNCTION aim.search_vector(weighty text, light text, lighter text DEFAULT NULL::text)
 RETURNS tsvector
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN (setweight(to_tsvector('aim.names'::regconfig, replace(COALESCE(aim.search_text(weighty, ' '::text), ''::text), '-'::text, ' '::text)), 'A'::"char") || setweight(to_tsvector('aim.names'::regconfig, replace(((COALESCE(aim.search_text(light, ' '::text), ''::text) || ' '::text) || COALESCE(aim.search_text(lighter, ' '::text), ''::text)), '-'::text, ' '::text)), 'B'::"char"));

CREATE OR REPLACE FUNCTION aim.similar_companies(tenant uuid, campaign uuid, gone uuid[], q text, OUT ids uuid[], OUT ranks real[])
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_sort TO 'off'
 SET jit TO 'off'
 SET "pg_trgm.word_similarity_threshold" TO '0.3'
AS $function$
        declare
          typed text := aim.search_name(left(q, 256));
          seen int;
        begin
          -- Without trigrams the index would answer with everything.
          if cardinality(public.show_trgm(typed)) = 0 then
            return;
          end if;
          with found as materialized (
            select c.id, c.user_id, c.campaign_id, public.word_similarity(typed, aim.search_name(c.name)) as rank
            from companies c
            where uuid_hash(c.user_id) = uuid_hash(tenant) and typed operator(public.<%) aim.search_name(c.name)
            limit 5000
          )
          select array_agg(y.id), array_agg(y.rank), (select count(*) from found) into ids, ranks, seen from (
            select found.id, found.rank from found 
            where found.user_id = tenant and (campaign is null or found.campaign_id = campaign)
              and found.campaign_id <> all (gone)
            order by found.rank desc, found.id desc limit 1000) y;
          -- Those may all be of other campaigns: then the newest rows of this one.
          if campaign is not null and seen = 5000 then
            select array_agg(y.id), array_agg(y.rank) into ids, ranks from (
              select found.id, found.rank from (
                select x.id, x.user_id, public.word_similarity(typed, x.name) as rank from (
                  select c.id, c.user_id, aim.search_name(c.name) as name from companies c
                  where c.campaign_id = campaign order by c.created_at desc, c.id desc limit 5000) x
                where typed operator(public.<%) x.name
              ) found 
              where found.user_id = tenant
              order by found.rank desc, found.id desc limit 1000) y;
          end if;
        end
        $function$;

CREATE OR REPLACE FUNCTION aim.similar_contacts(tenant uuid, campaign uuid, gone uuid[], q text, OUT ids uuid[], OUT ranks real[])
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_sort TO 'off'
 SET jit TO 'off'
 SET "pg_trgm.word_similarity_threshold" TO '0.3'
AS $function$
        declare
          typed text := aim.search_name(left(q, 256));
          seen int;
        begin
          -- Without trigrams the index would answer with everything.
          if cardinality(public.show_trgm(typed)) = 0 then
            return;
          end if;
          with found as materialized (
            select c.id, c.user_id, c.campaign_id, public.word_similarity(typed, aim.search_name(c.full_name)) as rank
            from contacts c
            where uuid_hash(c.user_id) = uuid_hash(tenant) and typed operator(public.<%) aim.search_name(c.full_name)
            limit 5000
          )
          select array_agg(y.id), array_agg(y.rank), (select count(*) from found) into ids, ranks, seen from (
            select found.id, found.rank from found 
            where found.user_id = tenant and (campaign is null or found.campaign_id = campaign)
              and found.campaign_id <> all (gone)
            order by found.rank desc, found.id desc limit 1000) y;
          -- Those may all be of other campaigns: then the newest rows of this one.
          if campaign is not null and seen = 5000 then
            select array_agg(y.id), array_agg(y.rank) into ids, ranks from (
              select found.id, found.rank from (
                select x.id, x.user_id, public.word_similarity(typed, x.name) as rank from (
                  select c.id, c.user_id, aim.search_name(c.full_name) as name from contacts c
                  where c.campaign_id = campaign order by c.created_at desc, c.id desc limit 5000) x
                where typed operator(public.<%) x.name
              ) found 
              where found.user_id = tenant
              order by found.rank desc, found.id desc limit 1000) y;
          end if;
        end
        $function$;

CREATE OR REPLACE FUNCTION aim.similar_research(tenant uuid, campaign uuid, gone uuid[], q text, OUT ids uuid[], OUT ranks real[])
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_sort TO 'off'
 SET jit TO 'off'
 SET "pg_trgm.word_similarity_threshold" TO '0.3'
AS $function$
        declare
          typed text := aim.search_name(left(q, 256));
          seen int;
        begin
          -- Without trigrams the index would answer with everything.
          if cardinality(public.show_trgm(typed)) = 0 then
            return;
          end if;
          with found as materialized (
            select c.id, c.user_id, c.campaign_id, public.word_similarity(typed, aim.search_name(c.name)) as rank
            from companies c
            where uuid_hash(c.user_id) = uuid_hash(tenant) and typed operator(public.<%) aim.search_name(c.name)
            limit 5000
          )
          select array_agg(y.id), array_agg(y.rank), (select count(*) from found) into ids, ranks, seen from (
            select r.id, found.rank from found join company_research r on r.company_id = found.id
            where found.user_id = tenant and (campaign is null or found.campaign_id = campaign)
              and found.campaign_id <> all (gone)
            order by found.rank desc, r.id desc limit 1000) y;
          -- Those may all be of other campaigns: then the newest rows of this one.
          if campaign is not null and seen = 5000 then
            select array_agg(y.id), array_agg(y.rank) into ids, ranks from (
              select r.id, found.rank from (
                select x.id, x.user_id, public.word_similarity(typed, x.name) as rank from (
                  select c.id, c.user_id, aim.search_name(c.name) as name from companies c
                  where c.campaign_id = campaign order by c.created_at desc, c.id desc limit 5000) x
                where typed operator(public.<%) x.name
              ) found join company_research r on r.company_id = found.id
              where found.user_id = tenant
              order by found.rank desc, r.id desc limit 1000) y;
          end if;
        end
        $function$;

CREATE OR REPLACE FUNCTION aim.tenant()
 RETURNS uuid
 LANGUAGE sql
 STABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog'
AS $function$ select nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $function$;

CREATE OR REPLACE FUNCTION aim.walk_companies(tenant uuid, campaign uuid, gone uuid[], query tsquery, thorough boolean, OUT ids uuid[], OUT ranks real[], OUT complete boolean)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
 SET jit TO 'off'
AS $function$
        declare
          sample constant int := 1000;
          seen int;
          hits int;
        begin
          if campaign is null then
            select count(*), count(*) filter (where x.search_vector @@ query) into seen, hits from (
              select c.search_vector from companies c where c.user_id = tenant
              order by c.created_at desc, c.id desc limit sample) x;
          else
            select count(*), count(*) filter (where x.search_vector @@ query) into seen, hits from (
              select c.user_id, c.search_vector from companies c where c.campaign_id = campaign
              order by c.created_at desc, c.id desc limit sample) x where x.user_id = tenant;
          end if;
          complete := seen < sample;
          -- Below 1 in 20 the index is cheaper.
          if (complete and hits = 0) or (not complete and hits * 20 < seen and not thorough) then
            return;
          end if;
          if campaign is null then
            select array_agg(y.id), array_agg(y.rank) into ids, ranks from (
              select x.id, ts_rank(x.search_vector, query) as rank from (
                select c.id, c.campaign_id, c.search_vector from companies c where c.user_id = tenant
                order by c.created_at desc, c.id desc limit 20000) x
              where x.search_vector @@ query and x.campaign_id <> all (gone) limit 1000) y;
          else
            select array_agg(y.id), array_agg(y.rank) into ids, ranks from (
              select x.id, ts_rank(x.search_vector, query) as rank from (
                select c.id, c.user_id, c.search_vector from companies c where c.campaign_id = campaign
                order by c.created_at desc, c.id desc limit 20000) x
              where x.search_vector @@ query and x.user_id = tenant limit 1000) y;
          end if;
          complete := complete or coalesce(cardinality(ids), 0) = 1000;
        end
        $function$;

CREATE OR REPLACE FUNCTION aim.walk_contacts(tenant uuid, campaign uuid, gone uuid[], query tsquery, thorough boolean, OUT ids uuid[], OUT ranks real[], OUT complete boolean)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
 SET jit TO 'off'
AS $function$
        declare
          sample constant int := 1000;
          seen int;
          hits int;
        begin
          if campaign is null then
            select count(*), count(*) filter (where x.search_vector @@ query) into seen, hits from (
              select c.search_vector from contacts c where c.user_id = tenant
              order by c.created_at desc, c.id desc limit sample) x;
          else
            select count(*), count(*) filter (where x.search_vector @@ query) into seen, hits from (
              select c.user_id, c.search_vector from contacts c where c.campaign_id = campaign
              order by c.created_at desc, c.id desc limit sample) x where x.user_id = tenant;
          end if;
          complete := seen < sample;
          -- Below 1 in 20 the index is cheaper.
          if (complete and hits = 0) or (not complete and hits * 20 < seen and not thorough) then
            return;
          end if;
          if campaign is null then
            select array_agg(y.id), array_agg(y.rank) into ids, ranks from (
              select x.id, ts_rank(x.search_vector, query) as rank from (
                select c.id, c.campaign_id, c.search_vector from contacts c where c.user_id = tenant
                order by c.created_at desc, c.id desc limit 20000) x
              where x.search_vector @@ query and x.campaign_id <> all (gone) limit 1000) y;
          else
            select array_agg(y.id), array_agg(y.rank) into ids, ranks from (
              select x.id, ts_rank(x.search_vector, query) as rank from (
                select c.id, c.user_id, c.search_vector from contacts c where c.campaign_id = campaign
                order by c.created_at desc, c.id desc limit 20000) x
              where x.search_vector @@ query and x.user_id = tenant limit 1000) y;
          end if;
          complete := complete or coalesce(cardinality(ids), 0) = 1000;
        end
        $function$;

CREATE OR REPLACE FUNCTION aim.walk_research(tenant uuid, campaign uuid, gone uuid[], query tsquery, thorough boolean, OUT ids uuid[], OUT ranks real[], OUT complete boolean)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_sort TO 'off'
 SET jit TO 'off'
AS $function$
        declare
          sample constant int := 1000;
          seen int;
          hits int;
        begin
          if campaign is null then
            select count(*), count(*) filter (where x.search_vector @@ query) into seen, hits from (
              select c.search_vector from company_research c where c.user_id = tenant
              order by c.created_at desc, c.id desc limit sample) x;
          else
            select count(*), count(*) filter (where x.search_vector @@ query) into seen, hits from (
              select c.user_id, c.search_vector from company_research c where c.campaign_id = campaign
              order by c.created_at desc, c.id desc limit sample) x where x.user_id = tenant;
          end if;
          complete := seen < sample;
          -- Below 1 in 20 the index is cheaper.
          if (complete and hits = 0) or (not complete and hits * 20 < seen and not thorough) then
            return;
          end if;
          if campaign is null then
            select array_agg(y.id), array_agg(y.rank) into ids, ranks from (
              select x.id, ts_rank(x.search_vector, query) as rank from (
                select c.id, c.campaign_id, c.search_vector from company_research c where c.user_id = tenant
                order by c.created_at desc, c.id desc limit 20000) x
              where x.search_vector @@ query and x.campaign_id <> all (gone) limit 1000) y;
          else
            select array_agg(y.id), array_agg(y.rank) into ids, ranks from (
              select x.id, ts_rank(x.search_vector, query) as rank from (
                select c.id, c.user_id, c.search_vector from company_research c where c.campaign_id = campaign
                order by c.created_at desc, c.id desc limit 20000) x
              where x.search_vector @@ query and x.user_id = tenant limit 1000) y;
          end if;
          complete := complete or coalesce(cardinality(ids), 0) = 1000;
        end
        $function$;

CREATE OR REPLACE FUNCTION auth.uid()
 RETURNS uuid
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog'
AS $function$ select nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $function$;
