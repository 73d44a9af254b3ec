import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import type { Answer } from './ask.ts';
import type { Ask, Provider } from './asks.ts';

/** So many asks in a row that fail open the circuit; one that says that nobody is there opens it at once. */
export const failuresToOpen = 10;
const firstProbeSeconds = 30;
const firstProbeOfMissingSeconds = 60;
const maxProbeSeconds = 15 * 60;
/** A quota is only written down once it is this small: before, no claim comes near it. */
const quotaWorthNoting = 1_000;
/** A job is blamed for what its own request did wrong, not for these. */
const endpointFailures = new Set(['http_401', 'http_403', 'http_407']);

/** Tells the endpoint of provider `p` from one that it had before, and tells nothing of its secret. */
export const endpoint = sql.fragment`hashtextextended(p.url || ' ' || p.secret, 0)::text`;

/** What the answers since the last write say about one provider. */
interface Signs {
  provider: Provider;
  asks: number;
  /** Since the watch began. */
  jobs: number;
  ok: number;
  /** In a row, up to the last answer. */
  failed: number;
  throttled: number;
  timeouts: number;
  /** Why the endpoint itself is to blame, for the circuit. */
  reason: string | null;
  missing: boolean;
  unasked: boolean;
  pauseMs: number;
  quota: { asks: number; untilMs: number } | null;
}

/**
 * Watches how providers answer during one invocation, and writes down what all workers must know: pauses, the circuit,
 * the adapted rate, the quota. Nothing is written while a provider that was well answers well.
 */
export function watch(deps: { db: Db; clock: () => number }) {
  const startedAt = deps.clock();
  const signs = new Map<string, Signs>();
  const closedUntil = new Map<string, number>();
  const failedInARow = new Map<string, number>();
  /** Those about whom anything was written: from then on a good answer is news as well. */
  const noted = new Set<string>();
  /** Jobs asked about since the watch began: what a rate is reckoned from, whatever was written since. */
  const asked = new Map<string, number>();

  const signsOf = (provider: Provider): Signs => {
    const known = signs.get(provider.id) ?? {
      provider,
      asks: 0,
      jobs: 0,
      ok: 0,
      failed: 0,
      throttled: 0,
      timeouts: 0,
      reason: null,
      missing: false,
      unasked: false,
      pauseMs: 0,
      quota: null,
    };
    signs.set(provider.id, known);
    return known;
  };
  const stop = (provider: Provider, ms: number) => {
    const until = deps.clock() + ms;
    closedUntil.set(provider.id, Math.max(until, closedUntil.get(provider.id) ?? 0));
  };

  return {
    /** Whether a provider wants to be left alone, as far as this invocation has seen. */
    isStopped: (provider: Provider) => (closedUntil.get(provider.id) ?? 0) > deps.clock(),

    /** A claimed ask that was not made after all: if it was the probe, the next claim may be. */
    unasked({ provider }: Ask): void {
      if (provider.circuit !== 'closed') signsOf(provider).unasked = true;
    },

    observe({ provider, jobs }: Ask, answer: Answer): void {
      const seen = signsOf(provider);
      seen.asks++;
      seen.jobs = (asked.get(provider.id) ?? 0) + jobs.length;
      asked.set(provider.id, seen.jobs);
      const failure = failureOf(answer);
      if (failure) {
        const inARow = (failedInARow.get(provider.id) ?? provider.failed_asks) + 1;
        failedInARow.set(provider.id, inARow);
        seen.failed++;
        seen.reason = failure;
        seen.missing ||= failure === 'endpoint_missing';
        if (seen.missing || inARow >= failuresToOpen) stop(provider, firstProbeSeconds * 1000);
      } else {
        failedInARow.set(provider.id, 0);
        seen.ok++;
        seen.failed = 0;
      }
      if (failure === 'timeout') seen.timeouts++;
      if (answer.type === 'throttled' && failure === undefined) {
        seen.throttled++;
        seen.pauseMs = Math.max(seen.pauseMs, answer.pauseMs);
        stop(provider, answer.pauseMs);
      }
      // A no says itself when to come back.
      const rateLimit = answer.type === 'throttled' ? undefined : answer.rateLimit;
      if (rateLimit && rateLimit.remaining < quotaWorthNoting) {
        // Answers to asks side by side come in any order: the least is what is left.
        const asks = Math.min(rateLimit.remaining, seen.quota?.asks ?? rateLimit.remaining);
        seen.quota = { asks, untilMs: rateLimit.resetMs };
        if (rateLimit.remaining <= 0) stop(provider, rateLimit.resetMs);
      }
    },

    /** Writes what is new, in one statement, or none. */
    async write(): Promise<void> {
      const news = [...signs.values()].filter((seen) => isNews(seen) || noted.has(seen.provider.id));
      const seconds = Math.max(1, (deps.clock() - startedAt) / 1000);
      signs.clear();
      for (const { provider } of news) noted.add(provider.id);
      if (news.length > 0) await note(deps.db, news, seconds);
    },
  };
}

/** @returns why the endpoint failed, or undefined when it did its part, be it with a no */
export function failureOf(answer: Answer): string | undefined {
  if (answer.type === 'transient') return answer.errorCode;
  if (answer.type === 'throttled' && answer.errorCode === 'endpoint_missing') return answer.errorCode;
  if (answer.type === 'permanent' && endpointFailures.has(answer.errorCode)) return answer.errorCode;
  return undefined;
}

function isNews({ provider, failed, throttled, timeouts, unasked, quota }: Signs): boolean {
  return failed > 0 || throttled > 0 || timeouts > 0 || unasked || quota !== null || provider.watched;
}

/** More than chance: a provider that answers so has too much to do. One answer alone shows no rate. */
function isCongested({ asks, throttled, timeouts }: Signs): boolean {
  const complaints = throttled + timeouts;
  if (asks < 2) return false;
  return complaints * 2 >= asks ? throttled > 0 || timeouts > 2 : complaints > 2 && complaints * 10 > asks;
}

/**
 * Only a probe's answer moves a circuit that is not closed: what was asked before it opened says nothing new. The rate
 * is halved at most every two seconds, down to one ask a second, below which pauses do; it grows back by a tenth of
 * where it was cut, or an ask a second, every second.
 */
async function note(db: Db, news: Signs[], seconds: number): Promise<void> {
  const rows = news
    .sort((a, b) => (a.provider.id < b.provider.id ? -1 : 1))
    .map((signs) => ({
      id: signs.provider.id,
      endpoint: signs.provider.endpoint,
      probe: signs.provider.circuit !== 'closed',
      ok: signs.ok > 0,
      failed: signs.failed,
      reason: signs.reason,
      missing: signs.missing,
      unasked: signs.unasked,
      pause_ms: signs.pauseMs || null,
      congested: isCongested(signs),
      observed: Math.max(0.1, signs.jobs / seconds),
      quota_asks: signs.quota?.asks ?? null,
      quota_ms: signs.quota?.untilMs ?? null,
    }));
  await db.query(sql('health.note')`
    with sign as (
      select id, endpoint, probe, ok, failed, reason, missing, unasked, pause_ms, congested, observed, quota_asks, quota_ms
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as s (
        id uuid, endpoint text, probe bool, ok bool, failed int, reason text, missing bool, unasked bool, pause_ms bigint,
        congested bool, observed double precision, quota_asks int, quota_ms bigint)
    ), seen as (
      select p.id, p.paused_until, p.circuit, p.circuit_reason, p.circuit_trips, p.probe_until, p.adapted_rate,
        p.adapted_at, p.adapted_from, p.quota_asks as had_asks, p.quota_until as had_until, p.rate_per_second,
        s.ok, s.reason, s.missing, s.pause_ms, s.congested, s.quota_asks, s.quota_ms,
        case when s.ok then s.failed else p.failed_asks + s.failed end as failed_asks,
        least(p.adapted_rate, p.rate_per_second) as rate, s.observed,
        least(p.batch_size, p.rate_per_second / 4) as slowest,
        p.adapted_rate + greatest(p.adapted_from / 10, p.batch_size) as raised,
        case
          when p.circuit = 'closed' then
            case when s.missing or (case when s.ok then s.failed else p.failed_asks + s.failed end) >= ${failuresToOpen}::int
              then 'opens' else 'stays' end
          when not s.probe then 'stays'
          when s.ok then 'closes'
          when s.failed > 0 then 'opens'
          when s.unasked then 'waits'
          else 'stays'
        end as circuit_does
      -- What the endpoint did that it had before says nothing about the one that it has now.
      from sign s join research_providers p on p.id = s.id and ${endpoint} = s.endpoint
      order by p.id for no key update of p
    ), next as (
      select id, circuit_does, failed_asks, reason,
        case circuit_does
          when 'opens' then greatest(paused_until, now() + random_share * make_interval(secs =>
            least(${maxProbeSeconds}::int, (case when missing then ${firstProbeOfMissingSeconds}::int else ${firstProbeSeconds}::int end)
              * 2.0 ^ least(circuit_trips, 10))))
          when 'waits' then now()
          when 'closes' then null
          else paused_until
        end as paused_until,
        now() + make_interval(secs => greatest(pause_ms, case when quota_asks <= 0 then quota_ms end) / 1000.0) as pause,
        case
          when congested and (adapted_at is null or adapted_at <= now() - interval '2 seconds')
            then greatest(slowest, coalesce(rate, observed) / 2)
          when not congested and ok and adapted_at <= now() - interval '1 second'
            then case when raised < coalesce(rate_per_second, adapted_from * 2) then raised end
          else adapted_rate
        end as adapted_rate,
        case when congested and (adapted_at is null or adapted_at <= now() - interval '2 seconds')
          then greatest(slowest, coalesce(rate, observed)) else adapted_from end as adapted_from,
        case when quota_asks is null then had_asks when had_until > now() then least(had_asks, quota_asks)
          else quota_asks end as quota_asks,
        case when quota_asks is null then had_until when had_until > now() then had_until
          else now() + make_interval(secs => quota_ms / 1000.0) end as quota_until
      from seen cross join lateral (select 0.75 + random() / 4 as random_share) jitter
    )
    update research_providers p
    set failed_asks = case next.circuit_does when 'stays' then next.failed_asks else 0 end,
      circuit = case next.circuit_does when 'opens' then 'open' when 'waits' then 'open' when 'closes' then 'closed'
        else p.circuit end,
      circuit_reason = case next.circuit_does when 'opens' then coalesce(next.reason, 'unknown') when 'closes' then null
        else p.circuit_reason end,
      circuit_trips = case next.circuit_does when 'opens' then p.circuit_trips + 1 when 'closes' then 0
        else p.circuit_trips end,
      probe_until = case when next.circuit_does = 'stays' then p.probe_until end,
      paused_until = greatest(next.paused_until, next.pause),
      adapted_rate = next.adapted_rate,
      adapted_from = case when next.adapted_rate is not null then next.adapted_from end,
      adapted_at = case when next.adapted_rate is null then null
        when next.adapted_rate is distinct from p.adapted_rate then now() else p.adapted_at end,
      quota_asks = next.quota_asks,
      quota_until = next.quota_until,
      version = p.version + (
        next.circuit_does <> 'stays' or next.adapted_rate is distinct from p.adapted_rate
        or greatest(next.paused_until, next.pause) is distinct from p.paused_until)::int,
      updated_at = case when next.circuit_does <> 'stays' then now() else p.updated_at end
    from next where p.id = next.id`);
}
