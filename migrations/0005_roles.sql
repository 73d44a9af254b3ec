-- Up Migration

-- All at once, parents first as writers take them: locks taken one by one would meet theirs and never get through.
lock table campaigns, companies, contacts, research_providers, research_batches, research_jobs, research_attempts,
  company_research, prospect_research in access exclusive mode;

-- Who may do what. None of them owns a table or bypasses row level security; an operator gives aim_api and aim_worker
-- a LOGIN and a password. Roles belong to the whole cluster, so another database may have made them already.
do $body$
declare
  wanted text;
begin
  foreach wanted in array array['aim_api', 'aim_worker', 'aim_definer'] loop
    begin
      execute format('create role %I nologin', wanted);
    exception when duplicate_object or unique_violation then null;
    end;
  end loop;
  -- The migrating user hands functions over to aim_definer, and sees all rows in backfills, in spite of FORCE.
  if not pg_has_role(current_user, 'aim_definer', 'member') or not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant aim_definer to %I', current_user);
  end if;
end
$body$;

-- The tenant of this transaction: the API binds it, as Supabase's own API does.
create function aim.tenant() returns uuid language sql stable parallel safe set search_path = pg_catalog as
  $sql$ select nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $sql$;

grant usage on schema aim to aim_api, aim_worker, aim_definer;
-- To own functions there.
grant create on schema aim to aim_definer;
grant usage on schema public to aim_api, aim_worker, aim_definer;

-- On every table alike: nothing for anybody by default (Supabase grants all on new tables to its roles, TRUNCATE
-- included), rows of all tenants for the workers and for the functions that bind a tenant themselves.
do $body$
declare
  wanted text;
begin
  foreach wanted in array array[
    'api_keys', 'idempotency_keys', 'campaigns', 'companies', 'contacts', 'research_providers', 'research_batches',
    'research_jobs', 'research_attempts', 'company_research', 'prospect_research', 'dead_letters',
    'campaign_count_deltas', 'changes', 'change_floor', 'subscriptions', 'archived_campaigns', 'archive_chunks'
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
end
$body$;

-- The tenant's own rows. A sub-select, so that it is asked once a statement and not once a row; in a coalesce, so that
-- the planner does not take it for a second condition on the rows of a campaign, expect far fewer of them, and sort.
-- Every query of the API names its tenant or a parent of its own besides, and that is what an index serves.
do $body$
declare
  wanted text;
begin
  foreach wanted in array array[
    'idempotency_keys', 'campaigns', 'companies', 'contacts', 'research_providers', 'research_batches',
    'research_attempts', 'company_research', 'prospect_research', 'dead_letters', 'campaign_count_deltas', 'changes', 'subscriptions',
    'archived_campaigns', 'archive_chunks'
  ] loop
    execute format('create policy tenant on %I to aim_api using (coalesce(user_id = (select aim.tenant()), false))', wanted);
  end loop;
end
$body$;
-- A job's foreign keys do not carry the tenant: a new one is looked at, and what it hangs on never changes.
create policy tenant_reads on research_jobs for select to aim_api using (coalesce(user_id = (select aim.tenant()), false));
create policy tenant_updates on research_jobs for update to aim_api using (coalesce(user_id = (select aim.tenant()), false));
create policy tenant_deletes on research_jobs for delete to aim_api using (coalesce(user_id = (select aim.tenant()), false));
create policy tenant_inserts on research_jobs for insert to aim_api with check (
  user_id = (select aim.tenant())
  and exists (select from research_batches b where b.id = batch_id and b.campaign_id = research_jobs.campaign_id
    and b.provider_id = research_jobs.provider_id)
  and exists (select from companies c where c.id = company_id and c.campaign_id = research_jobs.campaign_id)
);
create policy floor on change_floor for select to aim_api using (true);

grant select, insert, update, delete on
  idempotency_keys, companies, contacts, research_providers, research_batches, company_research, subscriptions
  to aim_api;
grant select, insert, delete, update (status, priority, retry_count, throttle_count, crash_count, error_code, error_message,
  run_at, fed_until, attempt_id, lease_until, accepted_at, updated_at, finished_at, leader_id) on research_jobs to aim_api;
grant select, insert, delete, update (natural_key, full_name, email, title, phone, linkedin, attributes, version, updated_at)
  on prospect_research to aim_api;
-- Attempts are made by a claim, which is the workers'; a callback of the API's only ends them.
grant select, update (outcome, http_status, latency_ms, error_code, finished_at), delete on research_attempts to aim_api;
-- Counts are the fold's business alone.
grant select, insert (user_id, name, archived, archived_at),
  update (name, archived, archived_at, deleted_at, version, updated_at), delete on campaigns to aim_api;
grant select on dead_letters, campaign_count_deltas, changes, change_floor, archived_campaigns, archive_chunks to aim_api;

grant select, insert, update, delete on
  idempotency_keys, campaigns, companies, contacts, research_providers, research_batches, research_jobs,
  research_attempts, company_research, prospect_research, dead_letters, campaign_count_deltas, subscriptions,
  archived_campaigns, archive_chunks
  to aim_worker;
-- To delete the keys of a tenant, never to read one.
grant select (id, user_id, name, prefix, scopes, last_used_at, revoked_at, created_at), delete on api_keys to aim_worker;
grant select on changes, change_floor to aim_worker;

-- Supabase: the browser reads what is the tenant's, secrets and internal tables excepted. Writes go through the API.
do $body$
declare
  wanted text;
begin
  if to_regrole('authenticated') is null then
    return;
  end if;
  foreach wanted in array array[
    'campaigns', 'companies', 'contacts', 'research_batches', 'research_jobs', 'research_attempts', 'company_research',
    'prospect_research', 'campaign_count_deltas', 'changes', 'archived_campaigns', 'research_providers'
  ] loop
    execute format('create policy browser on %I for select to authenticated using ((select auth.uid()) = user_id)', wanted);
  end loop;
  grant select on campaigns, companies, contacts, research_batches, research_jobs, research_attempts, company_research,
    prospect_research, campaign_count_deltas, changes, archived_campaigns to authenticated;
  grant select (id, user_id, name, kind, url, batch_size, rate_per_second, concurrency, timeout_ms, lease_seconds,
    max_retries, paused_until, version, created_at, updated_at) on research_providers to authenticated;
end
$body$;

-- Supabase's own live updates, where they are on.
do $body$
begin
  if exists (select from pg_publication where pubname = 'supabase_realtime' and not puballtables) then
    alter publication supabase_realtime add table campaigns, research_batches;
  end if;
end
$body$;

-- Sequences are granted by Supabase as well, and the migrator's own table stands in public too.
do $body$
begin
  if to_regrole('authenticated') is not null then
    revoke all on sequence campaign_count_deltas_id_seq from anon, authenticated;
    if to_regclass('public.aim_migrations_id_seq') is not null then
      revoke all on sequence public.aim_migrations_id_seq from anon, authenticated;
    end if;
  end if;
  if to_regclass('public.aim_migrations') is not null then
    revoke all on public.aim_migrations from public;
    if to_regrole('authenticated') is not null then
      revoke all on public.aim_migrations from anon, authenticated;
    end if;
  end if;
end
$body$;

-- Finds a key by its hash, before anything is known about the caller, and notes at most once a minute that it was used.
-- In plpgsql, whose plans are kept by the connection: this and the next run before anything else of a request.
create function aim.authenticate(key_hash bytea)
  returns table (user_id uuid, id uuid, name text, prefix text, scopes text[])
  language plpgsql volatile security definer set search_path = pg_catalog, public, pg_temp as $body$
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
$body$;
grant select, update (last_used_at) on api_keys to aim_definer;

-- Finds an ask's provider, whose secret verifies a callback, before anything is known about the caller.
create function aim.find_ask(ask uuid)
  returns table (user_id uuid, provider_id uuid, secret text)
  language sql stable security definer set search_path = pg_catalog, public, pg_temp as $sql$
    select p.user_id, p.id, p.secret
    from research_attempts a join research_providers p on p.id = a.provider_id
    where a.ask_id = ask limit 1
  $sql$;
grant select on research_attempts, research_providers to aim_definer;

alter function aim.authenticate(bytea) owner to aim_definer;
alter function aim.find_ask(uuid) owner to aim_definer;
revoke all on function aim.tenant(), aim.authenticate(bytea), aim.find_ask(uuid) from public;
grant execute on function aim.tenant() to aim_api, aim_worker, aim_definer;
grant execute on function aim.authenticate(bytea), aim.find_ask(uuid) to aim_api;

-- Down Migration

lock table campaigns, companies, contacts, research_providers, research_batches, research_jobs, research_attempts,
  company_research, prospect_research in access exclusive mode;

drop function aim.find_ask(uuid);
drop function aim.authenticate(bytea);
do $body$
declare
  policy record;
begin
  for policy in
    select polname, polrelid::regclass as relation from pg_policy
    where polrelid in (select oid from pg_class where relnamespace = 'public'::regnamespace)
      and polname ~ '^(worker|definer|tenant|tenant_(reads|inserts|updates|deletes)|floor|browser)$'
  loop
    execute format('drop policy %I on %s', policy.polname, policy.relation);
    execute format('alter table %s no force row level security', policy.relation);
  end loop;
  if exists (select from pg_publication where pubname = 'supabase_realtime' and not puballtables) then
    alter publication supabase_realtime drop table campaigns, research_batches;
  end if;
end
$body$;
drop function aim.tenant();
-- Takes back every grant in this database. The roles stay while another database of the cluster uses them.
do $body$
declare
  wanted text;
begin
  foreach wanted in array array['aim_api', 'aim_worker', 'aim_definer'] loop
    begin
      execute format('grant %I to %I', wanted, current_user);
      execute format('drop owned by %I', wanted);
    exception when insufficient_privilege then null;
    end;
    begin
      execute format('drop role %I', wanted);
    exception when dependent_objects_still_exist or insufficient_privilege then null;
    end;
  end loop;
end
$body$;
-- As 0003 left them.
alter table campaign_count_deltas disable row level security;
alter table changes disable row level security;
alter table change_floor disable row level security;
alter table subscriptions disable row level security;
alter table archived_campaigns disable row level security;
alter table archive_chunks disable row level security;
