import { columnsOf } from '../db/keyset.ts';
import { utc } from '../db/sorts.ts';
import { sql } from '../db/sql.ts';

/** A row of `research_providers` as the API writes a Provider: everything but the secret. */
export const fields = {
  id: sql.fragment`id`,
  name: sql.fragment`name`,
  kind: sql.fragment`kind`,
  url: sql.fragment`url`,
  batchSize: sql.fragment`batch_size`,
  ratePerSecond: sql.fragment`rate_per_second`,
  concurrency: sql.fragment`concurrency`,
  timeoutMs: sql.fragment`timeout_ms`,
  leaseSeconds: sql.fragment`lease_seconds`,
  maxRetries: sql.fragment`max_retries`,
  weight: sql.fragment`weight`,
  pausedUntil: utc(sql.fragment`paused_until`),
  circuit: sql.fragment`circuit`,
  circuitReason: sql.fragment`circuit_reason`,
  adaptedRate: sql.fragment`adapted_rate`,
  version: sql.fragment`version`,
  createdAt: utc(sql.fragment`created_at`),
  updatedAt: utc(sql.fragment`updated_at`),
};
export const columns = columnsOf({ columns: fields });
