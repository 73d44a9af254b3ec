import pLimit from 'p-limit';
import type { Dispatcher } from 'undici';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { type Answer, askProvider } from './ask.ts';
import { type Ask, claim } from './claim.ts';
import { feed } from './feed.ts';
import type { Log, ResearchQueue } from './queue.ts';
import { readResult } from './result.ts';
import type { Outcome } from './settle.ts';
import { settler } from './settler.ts';

export interface DispatchDeps {
  db: Db;
  queue: ResearchQueue;
  http: Dispatcher;
  log: Log;
  clock: () => number;
  publicUrl: string;
  claimLeaseSeconds: number;
  concurrency: number;
}

/** Kept for settling once the last answer is in. */
const settleMarginMs = 5_000;

/**
 * Runs one event of job ids: claim and commit, ask the providers, settle as answers come, feed what became free.
 * Safe to repeat and to lose at any point: a repeated id is claimed by nobody twice, and jobs of an invocation that
 * died come back when their short lease ends.
 * @param remainingMs how long this invocation may still run; asks that would not fit are given back, due at once
 */
export async function dispatch(
  deps: DispatchDeps,
  jobIds: string[],
  { remainingMs }: { remainingMs: () => number },
) {
  const startedAt = deps.clock();
  const asks = await claim(deps.db, [...new Set(jobIds)], { leaseSeconds: deps.claimLeaseSeconds });
  const settling = settler(deps.db);
  const limit = pLimit(deps.concurrency);
  const paused = new Map<string, number>();

  await Promise.all(
    asks.map((ask) =>
      limit(async () => {
        const fits = remainingMs() > ask.provider.timeout_ms + settleMarginMs;
        const isPaused = (paused.get(ask.provider.id) ?? 0) > deps.clock();
        if (!fits || isPaused) {
          settling.add(
            ask.jobs.map((job) => ({ jobId: job.id, attemptId: job.attempt_id, type: 'released' })),
          );
          return;
        }
        const answer = await askProvider(deps, ask);
        if (answer.type === 'throttled') {
          const until = deps.clock() + answer.pauseMs;
          if (until > (paused.get(ask.provider.id) ?? 0)) {
            paused.set(ask.provider.id, until);
            await pause(deps.db, ask.provider.id, answer.pauseMs);
          }
        }
        settling.add(outcomesOf(ask, answer));
      }),
    ),
  );
  const settled = await settling.finish();

  const providerIds = [...new Set(asks.map((ask) => ask.provider.id))];
  const fed = await feed(
    deps,
    providerIds.length > 0 ? { providerIds } : { providerIds: await providersOf(deps.db, jobIds) },
  );
  const count = (status: string) => settled.filter((job) => job.status === status).length;
  deps.log.info('research.dispatched', {
    received: jobIds.length,
    asks: asks.length,
    claimed: asks.reduce((sum, ask) => sum + ask.jobs.length, 0),
    completed: count('completed'),
    failed: count('failed'),
    accepted: count('processing'),
    requeued: count('queued'),
    fed: fed.jobs,
    ms: deps.clock() - startedAt,
  });
}

async function providersOf(db: Db, jobIds: string[]): Promise<string[]> {
  const rows = await db.query<{ provider_id: string }>(sql('dispatch.providers')`
    select distinct provider_id from research_jobs where id = any(${jobIds}::uuid[])`);
  return rows.map((row) => row.provider_id);
}

async function pause(db: Db, providerId: string, pauseMs: number): Promise<void> {
  await db.query(sql('dispatch.pause')`
    update research_providers
    set paused_until = greatest(paused_until, now() + make_interval(secs => ${pauseMs / 1000}))
    where id = ${providerId}`);
}

/** One outcome for every job of the ask; results for jobs that were not asked are dropped here. */
function outcomesOf(ask: Ask, answer: Answer): Outcome[] {
  const took = {
    latencyMs: Math.round(answer.latencyMs),
    ...(answer.httpStatus === undefined ? {} : { httpStatus: answer.httpStatus }),
  };
  const outcomes = new Map<string, Outcome>();
  const base = (job: Ask['jobs'][number]) => ({ jobId: job.id, attemptId: job.attempt_id, ...took });

  if (answer.type === 'answered') {
    const attemptOf = new Map(ask.jobs.map((job) => [job.id, job.attempt_id]));
    answer.results.forEach((value, index) => {
      const reading = readResult(value, index);
      const jobId =
        'outcome' in reading ? reading.outcome.jobId : (value as { jobId?: unknown } | null)?.jobId;
      const attemptId = typeof jobId === 'string' ? attemptOf.get(jobId) : undefined;
      if (typeof jobId !== 'string' || attemptId === undefined || outcomes.has(jobId)) return;
      outcomes.set(
        jobId,
        'outcome' in reading
          ? { ...reading.outcome, ...took, attemptId }
          : {
              jobId,
              attemptId,
              ...took,
              type: 'failed',
              errorCode: 'invalid_result',
              errorMessage: `${reading.error.path}: ${reading.error.message}`,
            },
      );
    });
  }
  for (const job of ask.jobs) {
    if (outcomes.has(job.id)) continue;
    switch (answer.type) {
      case 'answered':
      case 'accepted':
        outcomes.set(job.id, { ...base(job), type: 'accepted' });
        break;
      case 'throttled':
        outcomes.set(job.id, { ...base(job), ...pick(answer), type: 'throttled', delayMs: answer.pauseMs });
        break;
      case 'transient':
        outcomes.set(job.id, { ...base(job), ...pick(answer), type: 'retry' });
        break;
      case 'permanent':
        outcomes.set(job.id, { ...base(job), ...pick(answer), type: 'failed' });
        break;
    }
  }
  return [...outcomes.values()];
}

function pick({ errorCode, errorMessage }: { errorCode: string; errorMessage: string }) {
  return { errorCode, errorMessage };
}
