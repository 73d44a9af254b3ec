import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { type Ask, asksOf, type ClaimedJob, type Provider } from './asks.ts';
import { endpoint } from './health.ts';
import { freePermits } from './permits.ts';

const columns = sql.fragment`p.id, p.user_id, p.url, p.secret, ${endpoint} as endpoint, p.batch_size, p.timeout_ms,
  p.circuit, p.failed_asks, p.circuit <> 'closed' or p.failed_asks > 0 or p.adapted_rate is not null as watched`;

/** Whether a claim counts anything: jobs in work, a rate, a quota, or the one probe of a circuit. */
const limited = sql.fragment`p.concurrency is not null or p.rate_per_second is not null or p.adapted_rate is not null
  or p.quota_asks is not null or p.circuit <> 'closed'`;

async function lock(tx: Db, providerIds: string[]): Promise<Provider[]> {
  if (providerIds.length === 0) return [];
  return tx.query<Provider>(sql('claim.lock')`
    select ${columns} from research_providers p where id = any(${providerIds}::uuid[])
    order by id for no key update`);
}

/**
 * Claims every due job among `jobIds` for one attempt, within the free permits of its provider, and commits: this
 * happens before any POST, so a reply can never arrive before our own write. Jobs already claimed, ended or not due
 * are left out; those left for want of a permit go off the conveyor, due at once.
 * @param jobIds up to 1,000 ids
 * @param leaseSeconds the short lease: as long as this invocation can live
 * @returns the asks to make, each with the jobs of one provider and at most its batch size
 */
export function claim(db: Db, jobIds: string[], { leaseSeconds }: { leaseSeconds: number }): Promise<Ask[]> {
  return db.transaction(async (tx) => {
    const found = await tx.query<Provider & { limited: boolean }>(sql('claim.providers')`
      select ${columns}, ${limited} as limited
      from research_providers p
      -- An array, or the planner, who expects as many providers as jobs, would read those of everybody.
      where id = any(array(select distinct provider_id from research_jobs where id = any(${jobIds}::uuid[])))`);
    const unlimited = found.filter((provider) => !provider.limited);
    // Lock in one statement, count in the next: a statement that waited for a lock counts in its old snapshot.
    // Where nothing is counted there is nothing to lock, and claims run side by side.
    const locked = await lock(
      tx,
      found.filter((provider) => provider.limited).map((provider) => provider.id),
    );
    const providers = [...locked, ...unlimited];
    const jobs = await tx.query<ClaimedJob>(sql('claim.take')`
      with permit as (
        select p.id, p.batch_size, pace.rate, p.circuit <> 'closed' as probes,
          -- least() passes over nulls: without a rate there is no bucket at all.
          case when pace.rate is not null then least(
            greatest(p.batch_size, pace.rate),
            p.permits + pace.rate * extract(epoch from clock_timestamp() - p.permits_at)) end as bucket,
          case
            when p.paused_until > clock_timestamp() or p.probe_until > clock_timestamp() then 0
            else least(
              case when p.circuit <> 'closed' then 1 end,
              ${freePermits},
              1000000)
          end as free,
          case when p.quota_until > clock_timestamp() then p.quota_asks * p.batch_size end as quota
        from research_providers p
        cross join lateral (select least(p.adapted_rate, p.rate_per_second) as rate) pace
        -- One that has got limits since we looked is left for the next claim, which locks it.
        where p.id = any(${locked.map((provider) => provider.id)}::uuid[])
          or (p.id = any(${unlimited.map((provider) => provider.id)}::uuid[]) and not (${limited}))
      ), waiting as (
        select id, provider_id, priority, run_at, crash_count > 0 as suspect from research_jobs
        where id = any(${jobIds}::uuid[]) and status = 'queued'
        order by id for update
      ), due as (
        select w.id, w.provider_id, w.suspect, permit.batch_size,
          least(permit.free, coalesce(floor(permit.bucket), permit.free)) as free, permit.quota,
          row_number() over turn as place,
          -- A quota counts asks, and a suspect is asked about alone.
          sum(case when w.suspect then permit.batch_size else 1 end) over turn as load
        from waiting w join permit on permit.id = w.provider_id
        where w.run_at <= clock_timestamp()
        window turn as (partition by w.provider_id order by w.priority desc, w.run_at, w.id rows unbounded preceding)
      ), permitted as (
        -- An ask is a batch of one provider's jobs, or one suspect.
        select id, provider_id, suspect, place, uuidv7() as ask_id,
          (row_number() over (partition by provider_id, suspect order by place) - 1)
            / case when suspect then 1 else batch_size end as part
        from due where place <= free and (quota is null or load <= quota)
      ), taken as (
        select id, provider_id,
          first_value(ask_id) over (partition by provider_id, suspect, part order by place) as ask_id
        from permitted
      ), moved as (
        update research_jobs j
        set status = case when taken.id is null then j.status else 'processing' end,
          attempt_id = case when taken.id is null then j.attempt_id else uuidv7() end,
          lease_until = case when taken.id is not null
            then clock_timestamp() + make_interval(secs => ${leaseSeconds}) end,
          fed_until = null,
          updated_at = case when taken.id is null then j.updated_at else now() end
        from waiting left join taken on taken.id = waiting.id
        where j.id = waiting.id
        returning j.id, j.user_id, j.attempt_id, j.batch_id, j.provider_id, j.company_id, j.kind, j.status, taken.ask_id
      ), attempt as (
        insert into research_attempts (id, user_id, job_id, provider_id, ask_id)
        select attempt_id, user_id, id, provider_id, ask_id from moved where status = 'processing'
      ), spent as (
        update research_providers p
        set permits = case when permit.rate is null then p.permits else permit.bucket - used.jobs end,
          permits_at = case when permit.rate is null then p.permits_at else clock_timestamp() end,
          quota_asks = p.quota_asks - least(p.quota_asks, used.asks),
          circuit = case when permit.probes then 'half_open' else p.circuit end,
          probe_until = case when permit.probes then clock_timestamp() + make_interval(secs => ${leaseSeconds}) end,
          version = p.version + (p.circuit = 'open')::int
        from permit
        join (
          select provider_id, count(*) as jobs, count(distinct ask_id)::int as asks from taken group by provider_id
        ) used on used.provider_id = permit.id
        where p.id = permit.id and (permit.rate is not null or p.quota_asks is not null or permit.probes)
      )
      select moved.id, moved.attempt_id, moved.batch_id, moved.provider_id, moved.kind, moved.ask_id,
        jsonb_build_object('id', c.id, 'name', c.name, 'domain', c.domain, 'attributes', c.attributes) as company
      from moved join companies c on c.id = moved.company_id
      where moved.status = 'processing'`);
    return asksOf(providers, jobs);
  });
}
