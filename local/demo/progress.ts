import { SingleBar } from 'cli-progress';
import type { Api } from '../api.ts';

export interface BatchState {
  status: 'open' | 'completed' | 'cancelled';
  total: number;
  expanded: boolean;
  counts: { queued: number; processing: number; completed: number; failed: number; cancelled: number };
  retries: number;
}

const everyMs = 500;
/** Nothing moved for so long: leases and sweeps have had their turn, so something is broken. */
const stuckMs = 5 * 60_000;

/**
 * Shows how a batch gets on, until it has ended.
 * @param asked takes the bar away and gives the terminal its cursor back, at once
 * @throws Error when nothing moves for five minutes
 */
export async function follow(
  api: Api,
  batchId: string,
  asked: AbortSignal,
): Promise<BatchState & { seconds: number }> {
  const startedAt = Date.now();
  const bar = new SingleBar({
    format:
      '  {bar} {value}/{total} · {rate} jobs/s · {left} left · {processing} under way, {failed} failed, {retries} retries',
    barsize: 24,
    hideCursor: true,
    noTTYOutput: !process.stderr.isTTY,
    notTTYSchedule: 5_000,
    linewrap: false,
    gracefulExit: false,
  });
  let movedAt = startedAt;
  let last = '';
  let started = false;
  asked.addEventListener('abort', () => bar.stop(), { once: true });
  try {
    for (;;) {
      const batch = await api<BatchState>('GET', `/v1/batches/${batchId}`);
      const { completed, failed, cancelled, processing } = batch.counts;
      const done = completed + failed + cancelled;
      const seconds = (Date.now() - startedAt) / 1000;
      const rate = done / seconds;
      const payload = {
        rate: rate.toFixed(1),
        left: done === 0 ? '…' : `${Math.ceil((batch.total - done) / rate)} s`,
        processing,
        failed,
        retries: batch.retries,
      };
      if (!started) bar.start(batch.total, done, payload);
      started = true;
      bar.setTotal(batch.total);
      bar.update(done, payload);
      if (batch.status !== 'open') return { ...batch, seconds };
      const state = JSON.stringify(batch.counts);
      if (state !== last) movedAt = Date.now();
      last = state;
      if (Date.now() - movedAt > stuckMs)
        throw new Error(`the batch ${batchId} has not moved for five minutes: ${state}`);
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  } finally {
    bar.stop();
  }
}
