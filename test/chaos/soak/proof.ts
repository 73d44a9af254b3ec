import { reconcile } from '../../../core/campaigns/counts/reconcile.ts';
import type { Db } from '../../../core/db/connect.ts';
import { sql } from '../../../core/db/sql.ts';
import { wrongCounts } from '../../support/counts.ts';

export interface Proof {
  submitted: number;
  completed: number;
  failed: number;
  reasons: Record<string, number>;
  /** Accepted, and in no terminal state, or completed without a result. */
  lost: number;
  /** Results applied more than once, or told more than once. */
  duplicate: number;
  /** Completed although an attempt of theirs crashed or ran out. */
  recovered: number;
  lateKept: number;
  openBatches: number;
  countersOff: number;
  /** What the jobs that are still open wait for: how many are in each state. */
  waiting: Record<string, number>;
}

/** How many are not in a terminal state yet. */
export async function openJobs(db: Db): Promise<number> {
  const [row] = await db.query<{ count: number }>(sql('soak.open')`
    select count(*) from research_jobs where status in ('queued', 'processing')`);
  return row?.count ?? 0;
}

/** Everything that must hold at the end, counted in the database itself. */
export async function prove(db: Db): Promise<Proof> {
  const [row] = await db.query<Omit<Proof, 'countersOff' | 'reasons' | 'waiting'>>(sql('soak.proof')`
    with applied as (
      select job_id, count(*) filter (where outcome in ('completed', 'late')) as times,
        bool_or(outcome in ('crashed', 'expired')) as stumbled
      from research_attempts group by job_id
    ), told as (
      select id, count(*) as times from changes, unnest(ids) as id
      where entity = 'job' and op = 'completed' group by id
    )
    select
      (select sum(total)::int from research_batches) as submitted,
      count(*) filter (where j.status = 'completed') as completed,
      count(*) filter (where j.status = 'failed') as failed,
      (select sum(total)::int from research_batches)
        - count(*) filter (where j.status in ('completed', 'failed', 'cancelled'))
        + count(*) filter (where j.status = 'completed' and (r.id is null or coalesce(told.times, 0) = 0)) as lost,
      count(*) filter (where applied.times > 1 or r.generation > 1 or told.times > 1
        or (j.status <> 'completed' and r.id is not null)) as duplicate,
      count(*) filter (where j.status = 'completed' and applied.stumbled) as recovered,
      (select count(*) from late_results) as "lateKept",
      (select count(*) from research_batches where status = 'open') as "openBatches"
    from research_jobs j
    left join applied on applied.job_id = j.id
    left join told on told.id = j.id
    left join company_research r on r.job_id = j.id`);
  if (!row) throw new Error('no answer');
  const reasons = await db.query<{ code: string; count: number }>(sql('soak.reasons')`
    select error_code as code, count(*) from research_jobs where status = 'failed' group by error_code`);
  const waiting = await db.query<{ state: string; count: number }>(sql('soak.waiting')`
    select concat_ws(', ', j.status, case when j.fed_until is not null then 'fed' end,
        case when j.run_at > now() then 'not due' end,
        case when j.lease_until > now() then 'leased' when j.lease_until is not null then 'lease over' end,
        'circuit ' || p.circuit, case when p.paused_until > now() then 'paused' end) as state, count(*)
    from research_jobs j join research_providers p on p.id = j.provider_id
    where j.status in ('queued', 'processing') group by state`);
  const { off, unproved } = await reconcile(db, { repair: false, budgetMs: 60_000 });
  return {
    ...row,
    reasons: Object.fromEntries(reasons.map(({ code, count }) => [code, count])),
    waiting: Object.fromEntries(waiting.map(({ state, count }) => [state, count])),
    countersOff: off.length + unproved.length + (await wrongCounts(db)).length,
  };
}

export const holds = (proof: Proof): boolean =>
  proof.lost === 0 && proof.duplicate === 0 && proof.openBatches === 0 && proof.countersOff === 0;
