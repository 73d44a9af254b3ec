import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { AimError, NotFound } from '../errors.ts';
import { runErasure } from './forget/erase.ts';
import { nightly } from './nightly.ts';
import type { Whole } from './progress.ts';
import type { Tell } from './step.ts';
import type { ArchiveTask, InvokeArchive } from './task.ts';
import { type ArchiveDeps, finish } from './work.ts';

/** What is left for calling itself again. */
const marginMs = 15_000;
/** Calls for one task, one after the other: at 15 minutes each these are two days. */
const maxTimes = 200;

export interface TaskDeps extends ArchiveDeps {
  invokeSelf: InvokeArchive;
}

/**
 * Does one task for as long as there is time, and has itself called again for the rest, unless it got nowhere or was
 * called too often. Whatever stays undone the nightly run finds, but for an erasure, whose address only its request has.
 */
export async function archiveWork(
  deps: TaskDeps,
  task: ArchiveTask,
  { remainingMs, timesAtMost = maxTimes }: { remainingMs: () => number; timesAtMost?: number },
): Promise<void> {
  if (task.task === 'nightly') {
    await nightly(deps, task, { remainingMs, invocationsAtMost: timesAtMost });
    return;
  }
  const startedAt = deps.clock();
  const { done, rows, moved } = await attempt(deps, task, () => Math.max(0, remainingMs() - marginMs));
  const id = task.task === 'erase' ? task.erasureId : task.archiveId;
  const fields = { id, tenantId: task.tenantId, rows, times: task.times, ms: deps.clock() - startedAt };
  if (done) deps.log.info(`archive.${task.task}.done`, fields);
  else if (moved === 0) deps.log.warn(`archive.${task.task}.stopped`, { ...fields, reason: 'no_progress' });
  else if (task.times >= timesAtMost)
    deps.log.warn(`archive.${task.task}.stopped`, { ...fields, reason: 'too_many_invocations' });
  else await deps.invokeSelf({ ...task, times: task.times + 1 });
}

async function attempt(
  deps: TaskDeps,
  task: Exclude<ArchiveTask, { task: 'nightly' }>,
  remainingMs: () => number,
) {
  if (task.task === 'erase') return runErasure(deps, task, { remainingMs });
  const { archiveId, tenantId } = task;
  const startedAt = deps.clock();
  let rows = 0;
  try {
    for (;;) {
      // Who finds it done has nothing to tell: the request came twice, or another was faster.
      const tell: Tell = (tx, whole) => note(tx, task, whole);
      const slice = await finish(deps, archiveId, task.task, { remainingMs, tell });
      rows += slice.rows;
      if (slice.done) return { done: true, rows, moved: rows };
      if (remainingMs() <= 0 || slice.rows === 0) return { done: false, rows, moved: rows };
    }
  } catch (error) {
    // Restored since: what asked for the archive came twice.
    if (error instanceof NotFound) return { done: true, rows, moved: rows };
    const code = error instanceof AimError ? error.code : (error as { code?: unknown }).code;
    const failure = {
      code: typeof code === 'string' ? code.slice(0, 100) : 'internal',
      message:
        error instanceof AimError
          ? error.message.slice(0, 2000)
          : 'it failed on our side; the code says where',
    };
    await note(deps.db, task, { rows, ms: deps.clock() - startedAt }, failure);
    deps.log.warn('archive.failed', {
      campaignId: archiveId,
      tenantId,
      action: task.task,
      code: failure.code,
    });
    // What our own errors say does not change by itself; anything else Lambda tries again.
    if (error instanceof AimError && !error.retryable) return { done: false, rows, moved: 0 };
    throw error;
  }
}

/** For the tenant's report. */
async function note(
  db: Db,
  { archiveId, tenantId, task }: { archiveId: string; tenantId: string; task: 'archive' | 'restore' },
  { rows, ms }: Whole,
  error?: { code: string; message: string },
): Promise<void> {
  await db.query(sql('archive_events.asked')`
    insert into archive_events (user_id, campaign_id, action, outcome, reason, error_code, error_message, rows, ms)
    values (${tenantId}, ${archiveId}, ${task}, ${error ? 'failed' : 'done'}, 'asked', ${error?.code ?? null},
      ${error?.message ?? null}, ${rows}, ${Math.round(ms)})`);
}
