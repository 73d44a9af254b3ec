import { utc } from '../db/keyset.ts';
import { sql } from '../db/sql.ts';

/** A row of `research_providers` as the API writes a Provider: everything but the secret. */
export const columns = sql.fragment`id, name, kind, url, batch_size as "batchSize", rate_per_second as "ratePerSecond",
  concurrency, timeout_ms as "timeoutMs", lease_seconds as "leaseSeconds", max_retries as "maxRetries",
  ${utc(sql.fragment`paused_until`)} as "pausedUntil", version,
  ${utc(sql.fragment`created_at`)} as "createdAt", ${utc(sql.fragment`updated_at`)} as "updatedAt"`;
