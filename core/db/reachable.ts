import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseUnavailable } from './connect.ts';

const maxWaitMs = 4_000;

/**
 * Does `work` again until the database is back, or there is no time left for another wait.
 * @param work it bears to be done twice: of a commit whose answer got lost nobody knows whether it was one
 */
export async function untilReachable<Result>(
  work: () => Promise<Result>,
  leftMs: () => number,
): Promise<Result> {
  for (let waitMs = 100; ; waitMs = Math.min(maxWaitMs, waitMs * 2)) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable) || leftMs() < waitMs) throw error;
      await sleep(waitMs);
    }
  }
}
