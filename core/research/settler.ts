import type { Db } from '../db/connect.ts';
import { untilReachable } from '../db/reachable.ts';
import type { DeliveryQueue } from '../deliveries/queue.ts';
import { closeBatches } from './batches.ts';
import type { Log } from './queue.ts';
import { type Outcome, type Settled, settle } from './settle.ts';

/** Answers that come together are written together; the first ones do not wait long for the slowest. */
const gatherMs = 25;
const writeEveryMs = 500;
/** What is so large is not kept back for others to come. */
const writeAtSize = 4 * 1024 * 1024;
/** Below this, what could not be written is given up: the jobs come back when their lease ends. */
const lastTryMs = 3_000;

interface Options {
  remainingMs: () => number;
  /** Once what was added is written, or given up: how large it was. */
  written?: (size: number) => void;
  /** After each write, with what it moved. A throw is reported by `finish`. */
  afterWrite?: (settled: Settled[]) => Promise<void>;
}

/**
 * Gathers the outcomes of one invocation and settles them in sets, at most twice a second: what is in memory only
 * would be lost, though paid for, if the process died. A database that is away is waited for as long as the
 * invocation lasts; to write again what may have been committed is harmless, for the fence lets it through once.
 */
export function settler(
  deps: { db: Db; deliveries: DeliveryQueue; log: Log },
  { remainingMs, written, afterWrite }: Options,
) {
  let waiting: Outcome[] = [];
  let waitingSize = 0;
  const settled: Settled[] = [];
  let writing: Promise<void> = Promise.resolve();
  let failure: unknown;
  let timer: NodeJS.Timeout | undefined;
  let writtenAt = -Infinity;

  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    writtenAt = performance.now();
    writing = writing.then(async () => {
      const outcomes = waiting;
      const size = waitingSize;
      waiting = [];
      waitingSize = 0;
      if (outcomes.length === 0) return;
      const moved = await untilReachable(
        () => settle(deps.db, outcomes),
        () => remainingMs() - lastTryMs,
      ).finally(() => written?.(size));
      settled.push(...moved);
      await afterWrite?.(moved);
    });
    // Reported by `finish`; the jobs of a failed write come back when their lease ends.
    writing = writing.catch((error: unknown) => {
      failure ??= error;
    });
  };

  return {
    /** @param size what they hold, in characters */
    add(outcomes: Outcome[], size = 0): void {
      waiting.push(...outcomes);
      waitingSize += size;
      const soon = Math.max(gatherMs, writtenAt + writeEveryMs - performance.now());
      if (waitingSize >= writeAtSize) flush();
      else timer ??= setTimeout(flush, soon);
    },
    /** Settles the rest, then ends the batches that have no open job left. @throws what any write threw */
    async finish(): Promise<Settled[]> {
      flush();
      await writing;
      const ended = settled.filter((job) => job.status === 'completed' || job.status === 'failed');
      await closeBatches(
        deps,
        ended.map((job) => job.batch_id),
      );
      if (failure !== undefined) throw failure;
      return settled;
    },
  };
}
