import { randomUUID } from 'node:crypto';

export interface Provider {
  id: string;
  user_id: string;
  url: string;
  secret: string;
  batch_size: number;
  timeout_ms: number;
  concurrency: number | null;
  /** Not `closed`: this ask is the probe that decides whether it closes. */
  circuit: 'closed' | 'open' | 'half_open';
  failed_asks: number;
  /** Whether a good answer is news as well: to close the circuit, forget failures or raise the rate again. */
  watched: boolean;
}

export interface ClaimedJob {
  id: string;
  attempt_id: string;
  batch_id: string;
  provider_id: string;
  kind: string;
  crash_count: number;
  company: { id: string; name: string; domain: string | null; attributes: Record<string, unknown> };
}

/** One POST: its id is the `webhook-id` and names the callback. */
export interface Ask {
  id: string;
  provider: Provider;
  jobs: ClaimedJob[];
}

/** Asks of one provider with at most its batch size; a job whose last attempt crashed is asked alone. */
export function groupIntoAsks(providers: Provider[], jobs: ClaimedJob[]): Ask[] {
  const asks: Ask[] = [];
  for (const provider of providers) {
    const own = jobs.filter((job) => job.provider_id === provider.id);
    for (const job of own.filter(({ crash_count }) => crash_count > 0)) {
      asks.push({ id: randomUUID(), provider, jobs: [job] });
    }
    const healthy = own.filter(({ crash_count }) => crash_count === 0);
    for (let from = 0; from < healthy.length; from += provider.batch_size) {
      asks.push({ id: randomUUID(), provider, jobs: healthy.slice(from, from + provider.batch_size) });
    }
  }
  return asks;
}
