-- Up Migration

lock table research_providers, research_jobs, research_attempts in access exclusive mode;

-- The circuit: closed; open, nothing is asked until `paused_until`; half open, one job probes whether it works again.
alter table research_providers add column circuit text not null default 'closed';
alter table research_providers add column circuit_reason text;
-- Asks that failed in a row, and how often the circuit opened since it last closed.
alter table research_providers add column failed_asks int not null default 0;
alter table research_providers add column circuit_trips int not null default 0;
alter table research_providers add column probe_until timestamptz;
-- The rate as it adapts, below the one that was set; null means no lower than that.
alter table research_providers add column adapted_rate double precision;
alter table research_providers add column adapted_at timestamptz;
-- The rate at which the provider last complained: the measure of each step back up.
alter table research_providers add column adapted_from double precision;
-- What the provider said is left of its quota: so many asks until then.
alter table research_providers add column quota_asks int;
alter table research_providers add column quota_until timestamptz;
-- Its share of the tenant's window on the conveyor, against his other providers.
alter table research_providers add column weight int not null default 1;
alter table research_providers
  add constraint research_providers_circuit check (
    circuit in ('closed', 'open', 'half_open')
    and (circuit = 'closed') = (circuit_reason is null)
    and (circuit = 'half_open') = (probe_until is not null)
    and (circuit <> 'open' or paused_until is not null)
    and failed_asks >= 0 and circuit_trips >= 0
  ) not valid,
  add constraint research_providers_rate check (
    adapted_rate > 0 and (adapted_rate is null) = (adapted_at is null) and (adapted_rate is null) = (adapted_from is null)
  ) not valid,
  add constraint research_providers_quota check ((quota_asks is null) = (quota_until is null)) not valid,
  add constraint research_providers_weight check (weight between 1 and 100) not valid;

-- Every attempt is written once and settled once: with room on its page, the second write touches no index.
alter table research_attempts set (fillfactor = 60);
-- A provider's attempts go with its batches' jobs; a key and an index of their own cost each claim for nothing.
alter table research_attempts drop constraint research_attempts_provider_id_fkey;
drop index research_attempts_provider;

-- Results that came for an attempt whose job had ended, or was being tried anew: paid for, so kept, but not applied.
create table late_results (
  attempt_id uuid primary key references research_attempts (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  job_id uuid not null,
  summary text,
  findings jsonb not null default '{}',
  sources jsonb not null default '[]',
  prospects jsonb not null default '[]',
  received_at timestamptz not null default now()
);
comment on table late_results is 'Results that came too late to be applied: one for each attempt, kept as evidence.';
-- Serves the late results of one job.
create index late_results_job on late_results (job_id);
-- Serves the deletion of a tenant.
create index late_results_user on late_results (user_id);

alter table late_results enable row level security;
alter table late_results force row level security;
create policy worker on late_results to aim_worker using (true) with check (true);
create policy definer on late_results to aim_definer using (true) with check (true);
create policy tenant on late_results to aim_api using (coalesce(user_id = (select aim.tenant()), false));
revoke all on late_results from public;
do $body$
begin
  if to_regrole('authenticated') is not null then
    revoke all on late_results from anon, authenticated;
  end if;
end
$body$;
grant select, insert, delete on late_results to aim_api;
grant select, insert, update, delete on late_results to aim_worker;

-- Down Migration

lock table research_providers, research_jobs, research_attempts in access exclusive mode;
drop table late_results;
alter table research_attempts reset (fillfactor);
create index research_attempts_provider on research_attempts (provider_id);
alter table research_attempts add constraint research_attempts_provider_id_fkey
  foreign key (provider_id) references research_providers (id) on delete cascade not valid;
alter table research_providers
  drop column circuit, drop column circuit_reason, drop column failed_asks, drop column circuit_trips,
  drop column probe_until, drop column adapted_rate, drop column adapted_at, drop column adapted_from,
  drop column quota_asks, drop column quota_until, drop column weight;
