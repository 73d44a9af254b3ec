import type { Dispatcher } from 'undici';
import type { Db } from '../db/connect.ts';
import { untilReachable } from '../db/reachable.ts';
import { sql } from '../db/sql.ts';
import type { DeliveryQueue } from '../deliveries/queue.ts';
import { askProvider } from './ask.ts';
import type { Ask } from './asks.ts';
import { claim } from './claim.ts';
import { feed, unstamp } from './feed.ts';
import { watch } from './health.ts';
import { outcomesOf } from './outcomes.ts';
import type { Log, ResearchQueue } from './queue.ts';
import { answerRoom } from './room.ts';
import { freesPermit, type Outcome, type Settled } from './settle.ts';
import { settler } from './settler.ts';
import { rounds } from './suspects.ts';
import { takeTurns } from './turns.ts';

export interface DispatchDeps {
  db: Db;
  queue: ResearchQueue;
  deliveries: DeliveryQueue;
  http: Dispatcher;
  log: Log;
  clock: () => number;
  publicUrl: string;
  claimLeaseSeconds: number;
  concurrency: number;
}

export interface Invocation {
  /** How long it may still run; asks that would not fit are given back, due at once. */
  remainingMs: () => number;
}

/** Kept for settling once the last answer is in. */
const settleMarginMs = 5_000;

/**
 * Runs one event of job ids: claim and commit, ask the providers, settle as answers come, feed what became free.
 * Safe to repeat and to lose at any point: a repeated id is claimed by nobody twice, and jobs of an invocation that
 * died come back when their short lease ends. Jobs that were running when a process died run after all others, in
 * smaller and smaller rounds.
 */
export async function dispatch(deps: DispatchDeps, jobIds: string[], invocation: Invocation) {
  const startedAt = deps.clock();
  const ids = [...new Set(jobIds)];
  const suspects = await whenReachable(() => findSuspects(deps.db, ids), invocation);
  const providerIds = new Set(suspects.map((job) => job.provider_id));
  const settled: Settled[] = [];
  let asks = 0;
  const healthy = ids.filter((id) => !suspects.some((job) => job.id === id));
  const waiting = [healthy, ...rounds(suspects).map((round) => round.map(({ id }) => id))];
  while (waiting.length > 0 && invocation.remainingMs() > 2 * settleMarginMs) {
    const round = waiting.shift() ?? [];
    if (round.length === 0) continue;
    const done = await run(deps, round, invocation);
    asks += done.asks.length;
    settled.push(...done.settled);
    for (const ask of done.asks) providerIds.add(ask.provider.id);
  }
  // What there was no time for is off the conveyor, and fed again below.
  if (waiting.length > 0) await unstamp(deps.db, waiting.flat());
  const left = providerIds.size > 0 ? [...providerIds] : await providersOf(deps.db, ids);
  const fed = await feed(deps, { providerIds: left });

  const count = (status: string) => settled.filter((job) => job.status === status).length;
  deps.log.info('research.dispatched', {
    received: jobIds.length,
    asks,
    completed: count('completed'),
    failed: count('failed'),
    accepted: count('processing'),
    requeued: count('queued'),
    fed: fed.jobs,
    ms: deps.clock() - startedAt,
  });
}

/** Claims, asks and settles. What answers free is fed while others are still awaited. */
async function run(
  deps: DispatchDeps,
  jobIds: string[],
  { remainingMs }: Invocation,
): Promise<{ asks: Ask[]; settled: Settled[] }> {
  const asks = await whenReachable(() => claim(deps.db, jobIds, { leaseSeconds: deps.claimLeaseSeconds }), {
    remainingMs,
  });
  if (asks.length === 0) return { asks, settled: [] };
  const health = watch(deps);
  const room = answerRoom();
  const settling = settler(deps, {
    remainingMs,
    written: room.written,
    async afterWrite(settled) {
      await health.write();
      const freed = settled.filter(freesPermit);
      if (freed.length > 0) await feed(deps, { providerIds: freed.map((job) => job.provider_id) });
    },
  });
  await takeTurns(asks, deps.concurrency, async (ask) => {
    await room.enter();
    const fits = remainingMs() > ask.provider.timeout_ms + settleMarginMs;
    if (!fits || health.isStopped(ask.provider)) {
      health.unasked(ask);
      room.answered(0);
      settling.add(released(ask));
      return;
    }
    const { size = 0, ...answer } = await askProvider(deps, ask);
    room.answered(size);
    health.observe(ask, answer);
    settling.add(outcomesOf(ask, answer), size);
  });
  return { asks, settled: await settling.finish() };
}

/**
 * Waits for the database as long as it is worth claiming: an event that fails keeps its jobs from everybody until its
 * message comes back. What was claimed by a commit whose answer got lost comes back when its short lease ends.
 */
function whenReachable<Result>(work: () => Promise<Result>, { remainingMs }: Invocation): Promise<Result> {
  return untilReachable(work, () => remainingMs() - 2 * settleMarginMs);
}

function released(ask: Ask): Outcome[] {
  return ask.jobs.map((job) => ({ jobId: job.id, attemptId: job.attempt_id, type: 'released' }));
}

/** Jobs that were in work when a process died. */
function findSuspects(
  db: Db,
  jobIds: string[],
): Promise<{ id: string; provider_id: string; crash_count: number }[]> {
  return db.query(sql('dispatch.suspects')`
    select id, provider_id, crash_count from research_jobs
    where id = any(${jobIds}::uuid[]) and status = 'queued' and crash_count > 0`);
}

async function providersOf(db: Db, jobIds: string[]): Promise<string[]> {
  const rows = await db.query<{ provider_id: string }>(sql('dispatch.providers')`
    select distinct provider_id from research_jobs where id = any(${jobIds}::uuid[])`);
  return rows.map((row) => row.provider_id);
}
