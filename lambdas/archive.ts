import type { Context } from 'aws-lambda';
import { archiveWork } from '../core/archive/on-demand.ts';
import { ArchiveTask } from '../core/archive/task.ts';
import { deps, once } from './deps.ts';
import { lambdaInvoker } from './invoke.ts';

const invokeSelf = once(() => lambdaInvoker(deps().archiveFunction));

/** Every night: what the tenants' policies want. On demand: an archive, a restore or an erasure until it is done. */
export async function handler(event: unknown, context: Context): Promise<void> {
  // The schedule's own event names no task: it means the night.
  const isTask = typeof event === 'object' && event !== null && 'task' in event;
  const task: ArchiveTask = isTask ? ArchiveTask.parse(event) : { v: 1, task: 'nightly' };
  await archiveWork({ ...deps(), invokeSelf: invokeSelf() }, task, {
    remainingMs: () => context.getRemainingTimeInMillis(),
  });
}
