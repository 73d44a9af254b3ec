import type { Db } from '../db/connect.ts';
import { AimError } from '../errors.ts';
import type { Log } from '../research/queue.ts';
import { dueCampaigns, unfinished } from './nightly/due.ts';
import { doomed, pruneEvents, purge } from './nightly/purge.ts';
import {
  checkLease,
  claimRun,
  endRun,
  handOver,
  LeaseLost,
  note,
  type Outcome,
  type Report,
  type Run,
  saveRun,
} from './nightly/run.ts';
import { startArchive } from './start.ts';
import { type Ran, reserveMs, type Tell } from './step.ts';
import { type ArchiveDeps, finish } from './work.ts';

/** What is left for handing over, or for the end. */
const marginMs = 15_000;
/** A run that is not done by then goes round in circles: at 15 minutes each these are two days. */
const maxInvocations = 200;

export interface NightlyDeps extends ArchiveDeps {
  db: Db;
  log: Log;
  /** Has the function called again, without waiting for it. */
  invokeSelf: (payload: { v: 1; task: 'nightly'; leaseId: string }) => Promise<unknown>;
}

export type NightlyEnd =
  | { state: 'busy' | 'lost' | 'continued' }
  | { state: 'finished' | 'stopped'; report: Report; reason?: string };

/**
 * Goes on with what was begun, purges what is past its retention, and archives what the tenants' policies want, oldest
 * first, one campaign after the other; what fails is written down, and the others have their turn. When its time is up
 * it has itself called again, unless it got nowhere or was called too often. One run at a time.
 * @param leaseId of the run to go on with, as it was handed over
 */
export async function nightly(
  deps: NightlyDeps,
  { leaseId }: { leaseId?: string | undefined },
  {
    remainingMs,
    invocationsAtMost = maxInvocations,
  }: { remainingMs: () => number; invocationsAtMost?: number },
): Promise<NightlyEnd> {
  const run = await claimRun(deps.db, leaseId, remainingMs() + 60_000);
  if (!run) {
    deps.log.info('archive.busy', {});
    return { state: 'busy' };
  }
  try {
    const { done, moved } = await work(deps, run, remainingMs);
    const stopped = done ? undefined : reasonToStop(run, moved, invocationsAtMost);
    if (!done && stopped === undefined) {
      await handOver(deps.db, run);
      await deps.invokeSelf({ v: 1, task: 'nightly', leaseId: run.leaseId });
      return { state: 'continued' };
    }
    const report = await endRun(deps.db, run, stopped);
    if (stopped === undefined) deps.log.info('archive.run', { runId: run.id, ...report });
    else deps.log.warn('archive.stopped', { runId: run.id, reason: stopped, ...report });
    return stopped === undefined
      ? { state: 'finished', report }
      : { state: 'stopped', report, reason: stopped };
  } catch (error) {
    if (!(error instanceof LeaseLost)) throw error;
    deps.log.warn('archive.lease_lost', { runId: run.id });
    return { state: 'lost' };
  }
}

function reasonToStop(run: Run, moved: number, invocationsAtMost: number): string | undefined {
  if (moved === 0) return 'no_progress';
  if (run.invocations >= invocationsAtMost) return 'too_many_invocations';
  return undefined;
}

/** @returns whether nothing is left to do, and how much was done: rows, campaigns, and campaigns looked at */
async function work(deps: NightlyDeps, run: Run, remainingMs: () => number) {
  const { db } = deps;
  // Whoever is given a budget begins nothing in its last seconds: what is not done by then is no reason to call it stuck.
  const hasTime = () => remainingMs() > marginMs + reserveMs;
  const budget = { remainingMs: () => Math.max(0, remainingMs() - marginMs) };
  let moved = 0;

  /** @returns whether it ended, well or not; without an end it is taken up again later */
  const attempt = async (
    what: Pick<Outcome, 'tenantId' | 'action' | 'reason'> & { id: string },
    act: (tell: Tell) => Promise<Ran>,
  ): Promise<boolean> => {
    await checkLease(db, run);
    const startedAt = deps.clock();
    const { id: campaignId, ...rest } = what;
    const outcome = (rows: number) => ({ ...rest, campaignId, rows, ms: deps.clock() - startedAt });
    let told = false;
    try {
      const { done, rows } = await act(async (tx, whole) => {
        await note(tx, run, { ...outcome(0), whole });
        told = true;
      });
      moved += rows;
      if (!done && hasTime())
        throw new AimError('it cannot go on; another holds it', { code: 'blocked', status: 409 });
      if (!done || told) await saveRun(db, run, { after: run.after, rows });
      else await note(db, run, outcome(rows));
      if (!done) return false;
    } catch (error) {
      // What is told as done did not fail: only the count of the run's rows is behind.
      if (error instanceof LeaseLost || told) throw error;
      const failure = failureOf(error);
      deps.log.warn('archive.failed', { runId: run.id, campaignId, action: rest.action, code: failure.code });
      await note(db, run, { ...outcome(0), error: failure });
    }
    moved++;
    return true;
  };

  for (let left = await unfinished(db, run); left.length > 0; left = await unfinished(db, run)) {
    for (const { id, tenantId, state, reason } of left) {
      if (!hasTime()) return { done: false, moved };
      const action = state === 'archiving' ? 'archive' : 'restore';
      const what = { id, tenantId, action, reason } as const;
      if (!(await attempt(what, (tell) => finish(deps, id, action, { ...budget, tell }))))
        return { done: false, moved };
    }
  }
  for (let left = await doomed(db, run); left.length > 0; left = await doomed(db, run)) {
    for (const archive of left) {
      if (!hasTime()) return { done: false, moved };
      const what = { ...archive, action: 'purge' } as const;
      if (!(await attempt(what, (tell) => purge(db, archive, { hasTime, tell }))))
        return { done: false, moved };
    }
  }
  for (;;) {
    if (!hasTime()) return { done: false, moved };
    const { due, looked, place } = await dueCampaigns(db, run, run.after);
    for (const { id, tenantId, reason, place: own } of due) {
      if (!hasTime()) return { done: false, moved };
      const ended = await attempt({ id, tenantId, action: 'archive', reason }, async (tell) => {
        await startArchive(db, tenantId, id, { cancelOpenJobs: false, reason });
        return finish(deps, id, 'archive', { ...budget, tell });
      });
      run.after = own;
      if (!ended) return { done: false, moved };
    }
    moved += looked;
    run.after = place;
    await saveRun(db, run, { after: place, rows: 0 });
    if (!place) break;
  }
  await pruneEvents(db, { hasTime });
  return { done: true, moved };
}

/** For the tenant to read: what our own errors say; of any other its code alone, for a message may quote a row. */
function failureOf(error: unknown): { code: string; message: string } {
  if (error instanceof AimError) return { code: error.code, message: error.message };
  const code = (error as { code?: unknown } | null)?.code;
  return {
    code: typeof code === 'string' ? code.slice(0, 100) : 'internal',
    message: 'it failed on our side; the code says where',
  };
}
