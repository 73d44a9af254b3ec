import { randomBytes } from 'node:crypto';
import type { ProviderDraft, ProviderWithSecret } from '../contract/providers.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { heldUntil } from '../research/permits.ts';
import { columns } from './columns.ts';
import { getProvider } from './list.ts';

function makeSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

/**
 * Creates or replaces a provider by name. What is left out gets its default; the secret is kept, or made for a new
 * one. Nothing changes, the version neither, when it is already so and the provider is asked as it comes: one that is
 * paused, or whose circuit is not closed, is asked again at once.
 * @returns the provider, with its secret only when that was just made or set, and whether it is new
 */
export function putProvider(
  { db }: { db: Db },
  tenantId: string,
  name: string,
  draft: ProviderDraft,
): Promise<{ created: boolean; provider: ProviderWithSecret }> {
  return db.transaction(async (tx) => {
    const secret = draft.secret ?? makeSecret();
    const [written] = await tx.query<ProviderWithSecret>(sql('providers.put')`
      insert into research_providers as p (user_id, name, kind, url, secret, batch_size, rate_per_second, concurrency,
        timeout_ms, lease_seconds, max_retries, weight)
      values (${tenantId}, ${name}, ${draft.kind}, ${draft.url}, ${secret}, ${draft.batchSize}, ${draft.ratePerSecond},
        ${draft.concurrency}, ${draft.timeoutMs}, ${draft.leaseSeconds}, ${draft.maxRetries}, ${draft.weight})
      on conflict (user_id, name) do update
      set kind = excluded.kind, url = excluded.url, batch_size = excluded.batch_size,
        secret = case when ${draft.secret !== undefined} then excluded.secret else p.secret end,
        rate_per_second = excluded.rate_per_second, concurrency = excluded.concurrency,
        timeout_ms = excluded.timeout_ms, lease_seconds = excluded.lease_seconds, max_retries = excluded.max_retries,
        weight = excluded.weight,
        -- Who changes a provider has mended it: it is asked again at once.
        circuit = 'closed', circuit_reason = null, circuit_trips = 0, failed_asks = 0, probe_until = null,
        paused_until = null, adapted_rate = null, adapted_from = null, adapted_at = null,
        quota_asks = null, quota_until = null,
        version = p.version + 1, updated_at = now()
      where (p.kind, p.url, p.batch_size, p.rate_per_second, p.concurrency, p.timeout_ms, p.lease_seconds, p.max_retries, p.weight)
        is distinct from (excluded.kind, excluded.url, excluded.batch_size, excluded.rate_per_second,
          excluded.concurrency, excluded.timeout_ms, excluded.lease_seconds, excluded.max_retries, excluded.weight)
        or (${draft.secret !== undefined} and p.secret <> excluded.secret)
        or p.circuit <> 'closed' or ${heldUntil} > now()
      returning ${columns}`);
    const provider = written ?? (await getProvider({ db: tx }, tenantId, name));
    const created = written?.version === 1;
    const shown = created || draft.secret !== undefined;
    return { created, provider: shown ? { ...provider, secret } : provider };
  });
}
