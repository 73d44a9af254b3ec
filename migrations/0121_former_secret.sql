-- Up Migration

lock table research_providers in access exclusive mode;

-- What verifies answers to asks that were signed before the secret was changed. One: changed twice, the first is out.
alter table research_providers add column former_secret text;
alter table research_providers add column secret_changed_at timestamptz;

create function aim.keep_former_secret() returns trigger
  language plpgsql set search_path = pg_catalog, public, pg_temp as $body$
begin
  new.former_secret := old.secret;
  new.secret_changed_at := clock_timestamp();
  return new;
end
$body$;
revoke all on function aim.keep_former_secret() from public;
create trigger keep_former_secret before update of secret on research_providers
  for each row when (old.secret is distinct from new.secret) execute function aim.keep_former_secret();

-- The present secret first; the former one too for an ask from before the change, for as long as its answer may take.
create or replace function aim.find_ask(ask uuid)
  returns table (user_id uuid, provider_id uuid, secret text)
  language sql stable security definer set search_path = pg_catalog, public, pg_temp as $sql$
    select p.user_id, p.id, unnest(case
      when a.started_at < p.secret_changed_at and now() < p.secret_changed_at + make_interval(secs => p.lease_seconds)
      then array[p.secret, p.former_secret] else array[p.secret] end)
    from (select provider_id, started_at from research_attempts where ask_id = ask limit 1) a
    join research_providers p on p.id = a.provider_id
  $sql$;

-- Down Migration

lock table research_providers in access exclusive mode;

create or replace function aim.find_ask(ask uuid)
  returns table (user_id uuid, provider_id uuid, secret text)
  language sql stable security definer set search_path = pg_catalog, public, pg_temp as $sql$
    select p.user_id, p.id, p.secret
    from research_attempts a join research_providers p on p.id = a.provider_id
    where a.ask_id = ask limit 1
  $sql$;
drop trigger keep_former_secret on research_providers;
drop function aim.keep_former_secret();
alter table research_providers drop column former_secret;
alter table research_providers drop column secret_changed_at;
