import type { Db } from '../db/connect.ts';
import { endBatches } from './batches.ts';
import { type Outcome, type Settled, settle } from './settle.ts';

const flushEveryMs = 500;

/**
 * Gathers the outcomes of one invocation and settles them in sets: the first ones do not wait for the slowest
 * provider, because what is in memory only would be lost, though paid for, if the process died.
 */
export function settler(db: Db) {
  let waiting: Outcome[] = [];
  const settled: Settled[] = [];
  let writing: Promise<void> = Promise.resolve();
  let failure: unknown;

  const flush = () => {
    const outcomes = waiting;
    waiting = [];
    writing = writing.then(async () => {
      if (outcomes.length > 0) settled.push(...(await settle(db, outcomes)));
    });
    // Reported by `finish`; the jobs of a failed write come back when their lease ends.
    writing = writing.catch((error: unknown) => {
      failure ??= error;
    });
  };
  const timer = setInterval(flush, flushEveryMs);

  return {
    add(outcomes: Outcome[]): void {
      waiting.push(...outcomes);
    },
    /** Settles the rest, then ends the batches that have no open job left. @throws what any write threw */
    async finish(): Promise<Settled[]> {
      clearInterval(timer);
      flush();
      await writing;
      const ended = settled.filter((job) => job.status === 'completed' || job.status === 'failed');
      await endBatches(
        db,
        ended.map((job) => job.batch_id),
      );
      if (failure !== undefined) throw failure;
      return settled;
    },
  };
}
