import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '../db/connect.ts';
import { isLockTrouble } from '../db/locks.ts';
import { sql } from '../db/sql.ts';
import { isArchived } from '../errors.ts';

export interface ProspectFound {
  naturalKey: string;
  fullName: string | null;
  email: string | null;
  title: string | null;
  phone: string | null;
  linkedin: string | null;
  attributes: Record<string, unknown>;
}

/**
 * How one attempt ended, or that it goes on:
 * - `completed`, `failed`: for good
 * - `retry`: transient; uses up an attempt, and fails once all are used
 * - `throttled`, `released`: not the job's fault; due again, no attempt used
 * - `accepted`, `renewed`: the provider has it; the lease grows to the provider's
 */
export interface Outcome {
  jobId: string;
  attemptId: string;
  type: 'completed' | 'failed' | 'retry' | 'throttled' | 'released' | 'accepted' | 'renewed';
  errorCode?: string;
  errorMessage?: string;
  delayMs?: number;
  httpStatus?: number;
  latencyMs?: number;
  summary?: string | null;
  findings?: unknown;
  sources?: unknown;
  prospects?: ProspectFound[];
}

export interface Settled {
  job_id: string;
  batch_id: string;
  provider_id: string;
  status: 'queued' | 'processing' | 'completed' | 'failed';
  /** Its provider has only so many at a time: where it is not in work any more, a permit is free. */
  limited: boolean;
}

export const freesPermit = (job: Settled): boolean => job.limited && job.status !== 'processing';

/**
 * Settles a whole event in one fenced statement: an outcome counts only while its attempt is the job's latest and the
 * job is processing, or, for a result or a no for good, waits for its retry (it was paid for). Zero rows for a stale or repeated
 * outcome is an answer, not an error. The result and the job's end commit together, so a crash leaves both or none.
 * @returns the jobs that moved; those left out were stale
 */
export async function settle(db: Db, outcomes: Outcome[]): Promise<Settled[]> {
  const refused: unknown[] = [];
  const settled = await settleParts(db, outcomes, refused);
  if (refused.length > 0) throw refused[0];
  return settled;
}

/** @param refused takes the errors of what cannot even be failed: a bug of ours, but no sibling's loss */
async function settleParts(db: Db, outcomes: Outcome[], refused: unknown[]): Promise<Settled[]> {
  if (outcomes.length === 0) return [];
  try {
    const single = onePerJob(outcomes);
    const settled = await untilUncrossed(() => settleAll(db, single));
    await untilUncrossed(() => keepLate(db, single, settled));
    return settled;
  } catch (error) {
    if (!isDataError(error)) throw error;
    // One value that Postgres refuses must not harm its siblings: halve until it is alone, and fail that job only.
    const [only, ...others] = outcomes;
    if (only && others.length === 0) return failAlone(db, only, error, refused);
    const half = Math.ceil(outcomes.length / 2);
    return [
      ...(await settleParts(db, outcomes.slice(0, half), refused)),
      ...(await settleParts(db, outcomes.slice(half), refused)),
    ];
  }
}

const lockTries = 5;
const maxLockWaitMs = 250;

/**
 * Paid answers are not given up for somebody else's locks: a deadlock, or a wait that was too long, left nothing. Nor is
 * what comes late for one of a campaign that was archived meanwhile: its own is left out the next time.
 */
async function untilUncrossed<Result>(work: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (tries === lockTries || !(isLockTrouble(error) || isArchived(error))) throw error;
      await sleep(Math.random() * maxLockWaitMs * tries);
    }
  }
}

async function failAlone(
  db: Db,
  { jobId, attemptId }: Outcome,
  error: unknown,
  refused: unknown[],
): Promise<Settled[]> {
  const errorMessage = `the result cannot be stored (SQLSTATE ${(error as { code: string }).code})`;
  const failed = { jobId, attemptId, type: 'failed', errorCode: 'invalid_result', errorMessage } as const;
  try {
    return await settleAll(db, [failed]);
  } catch (again) {
    if (!isDataError(again)) throw again;
    refused.push(again);
    return [];
  }
}

/** Classes 22 (data) and 54 (limits) are about a value; anything else is about the statement or the server. */
function isDataError(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^(22|54|23514)/.test(code);
}

/** The first outcome that ends a job wins; a mere sign of life never hides it. */
function onePerJob(outcomes: Outcome[]): Outcome[] {
  const kept = new Map<string, Outcome>();
  for (const outcome of outcomes) {
    const key = `${outcome.jobId} ${outcome.attemptId}`;
    const earlier = kept.get(key);
    if (!earlier || earlier.type === 'renewed' || earlier.type === 'accepted') kept.set(key, outcome);
  }
  return [...kept.values()];
}

/**
 * A result for a job that had ended otherwise, or is being tried anew, was paid for: it is kept, once for each attempt,
 * and changes nothing. Its sender has no answer yet, so a crash before this only means that it is sent again.
 */
async function keepLate(db: Db, outcomes: Outcome[], settled: Settled[]): Promise<void> {
  const moved = new Set(settled.map((job) => job.job_id));
  const late = outcomes.filter(({ type, jobId }) => type === 'completed' && !moved.has(jobId));
  if (late.length === 0) return;
  await db.query(sql('research.keep_late')`
    insert into late_results (attempt_id, user_id, job_id, summary, findings, sources, prospects)
    select a.id, a.user_id, a.job_id, o.summary, o.findings, o.sources, o.prospects
    from jsonb_to_recordset(${JSON.stringify(late.map(toRow))}::jsonb) as o (
      job_id uuid, attempt_id uuid, summary text, findings jsonb, sources jsonb, prospects jsonb)
    join research_attempts a on a.id = o.attempt_id and a.job_id = o.job_id
    join research_jobs j on j.id = a.job_id
    -- Nothing is written below an archived campaign; a guard refuses one that is archived meanwhile.
    join campaigns c on c.id = j.campaign_id and not c.archived
    where a.outcome is null or a.outcome not in ('completed', 'late')
    on conflict (attempt_id) do nothing`);
}

/** What is undefined is left out of the JSON, and NULL in Postgres. */
function toRow(outcome: Outcome) {
  return {
    job_id: outcome.jobId,
    attempt_id: outcome.attemptId,
    type: outcome.type,
    error_code: outcome.errorCode,
    error_message: outcome.errorMessage,
    delay_ms: outcome.delayMs,
    http_status: outcome.httpStatus,
    latency_ms: outcome.latencyMs,
    summary: outcome.summary ?? undefined,
    findings: outcome.findings ?? {},
    sources: outcome.sources ?? [],
    prospects: outcome.prospects ?? [],
  };
}

function settleAll(db: Db, outcomes: Outcome[]): Promise<Settled[]> {
  return db.query<Settled>(sql('research.settle')`
    with outcome as (
      select job_id, attempt_id, type, error_code, error_message, delay_ms, http_status, latency_ms, summary,
        findings, sources, prospects
      from jsonb_to_recordset(${JSON.stringify(outcomes.map(toRow))}::jsonb) as o (
        job_id uuid, attempt_id uuid, type text, error_code text, error_message text, delay_ms int,
        http_status int, latency_ms int, summary text, findings jsonb, sources jsonb, prospects jsonb)
    ), locked as (
      select j.id, j.attempt_id, j.user_id, j.campaign_id, j.company_id, j.kind, j.status as was, p.lease_seconds,
        p.concurrency is not null as limited,
        o.type, o.error_code, o.error_message, o.http_status, o.latency_ms, o.summary, o.findings, o.sources, o.prospects,
        coalesce(o.delay_ms / 1000.0, case when o.type = 'retry'
          then random() * least(3600, 2 * 2 ^ least(j.retry_count, 12)) else 0 end) as delay_seconds,
        case
          when o.type in ('completed', 'failed') then o.type
          when o.type = 'retry' and j.retry_count >= p.max_retries then 'failed'
          when o.type in ('accepted', 'renewed') then 'processing'
          else 'queued'
        end as next
      from outcome o
      join research_jobs j on j.id = o.job_id and j.attempt_id = o.attempt_id
      join research_providers p on p.id = j.provider_id
      where j.status = 'processing' or (j.status = 'queued' and o.type in ('completed', 'failed'))
      order by j.id
      for update of j
    ), moved as (
      update research_jobs j
      set status = l.next,
        retry_count = j.retry_count + (l.type = 'retry' and l.next = 'queued')::int,
        throttle_count = j.throttle_count + (l.type = 'throttled')::int,
        crash_count = case when l.type in ('completed', 'failed', 'retry', 'accepted', 'renewed') then 0 else j.crash_count end,
        error_code = case l.next when 'failed' then coalesce(l.error_code, 'unknown') when 'queued' then l.error_code
          when 'processing' then j.error_code end,
        error_message = case when l.next in ('failed', 'queued') then l.error_message
          when l.next = 'processing' then j.error_message end,
        run_at = case when l.next = 'queued' then now() + make_interval(secs => l.delay_seconds) else j.run_at end,
        fed_until = null,
        lease_until = case when l.next = 'processing' then clock_timestamp() + make_interval(secs => l.lease_seconds) end,
        accepted_at = case when l.next = 'processing' then coalesce(j.accepted_at, now()) end,
        finished_at = case when l.next in ('completed', 'failed') then now() end,
        updated_at = now()
      from locked l
      where j.id = l.id
      returning j.id, j.batch_id, j.provider_id, j.status, l.limited
    ), attempt as (
      update research_attempts a
      set outcome = case l.next when 'queued' then case l.type when 'retry' then 'retried' else l.type end
            when 'processing' then 'accepted' when 'completed' then case l.was when 'queued' then 'late' else 'completed' end
            else 'failed' end,
        http_status = coalesce(l.http_status, a.http_status),
        latency_ms = coalesce(l.latency_ms, a.latency_ms),
        error_code = l.error_code,
        finished_at = case when l.next = 'processing' then a.finished_at else now() end
      from locked l
      where a.id = l.attempt_id
    ), research as (
      -- With the search vector of its company, which a trigger would look up for each row.
      insert into company_research as r (
        user_id, campaign_id, company_id, kind, summary, findings, sources, job_id, search_vector)
      select distinct on (l.company_id, l.kind)
        l.user_id, l.campaign_id, l.company_id, l.kind, l.summary, l.findings, l.sources, l.id, c.search_vector
      from locked l left join companies c on c.id = l.company_id
      where l.next = 'completed'
      order by l.company_id, l.kind, l.id desc
      on conflict (campaign_id, company_id, kind) do update
      set summary = excluded.summary, findings = excluded.findings, sources = excluded.sources,
        job_id = excluded.job_id, generation = r.generation + 1, version = r.version + 1, updated_at = now()
      returning r.id, r.company_id, r.kind
    ), place as (
      -- A map, for the planner expects one row here and would compare each result with each.
      select jsonb_object_agg(company_id::text || ' ' || kind, id) as ids from research
    ), prospects as (
      insert into prospect_research as p (user_id, campaign_id, company_id, company_research_id, natural_key,
        full_name, email, title, phone, linkedin, attributes)
      select distinct on (r.id, f."naturalKey") l.user_id, l.campaign_id, l.company_id, r.id, f."naturalKey",
        f."fullName", f.email, f.title, f.phone, f.linkedin, f.attributes
      from locked l
      cross join lateral (
        select ((select ids from place) ->> (l.company_id::text || ' ' || l.kind))::uuid as id
      ) r
      cross join lateral jsonb_to_recordset(l.prospects) as f (
        "naturalKey" text, "fullName" text, email text, title text, phone text, linkedin text, attributes jsonb)
      where l.next = 'completed' and l.prospects <> '[]'
      order by r.id, f."naturalKey", l.id desc
      on conflict (company_research_id, natural_key) do update
      set full_name = coalesce(excluded.full_name, p.full_name), title = coalesce(excluded.title, p.title),
        email = coalesce(excluded.email, p.email), phone = coalesce(excluded.phone, p.phone),
        linkedin = coalesce(excluded.linkedin, p.linkedin), attributes = p.attributes || excluded.attributes,
        version = p.version + 1, updated_at = now()
    )
    select id as job_id, batch_id, provider_id, status, limited from moved`);
}
