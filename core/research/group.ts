import { randomUUID } from 'node:crypto';
import type { Ask, ClaimedJob, Provider } from './claim.ts';

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
