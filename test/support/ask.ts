import { randomBytes, randomUUID } from 'node:crypto';
import type { Dispatcher } from 'undici';
import { askProvider } from '../../core/research/ask.ts';

/** Asks about nothing, without a database: what counts is whether and how the exchange takes place. */
export function askBare(url: string, http: Dispatcher, timeoutMs = 2_000) {
  const secret = `whsec_${randomBytes(24).toString('base64')}`;
  const limits = { batch_size: 1, timeout_ms: timeoutMs, concurrency: null };
  const health = { endpoint: '', circuit: 'closed', failed_asks: 0, watched: false } as const;
  const provider = { id: randomUUID(), user_id: randomUUID(), url, secret, ...limits, ...health };
  const deps = { http, publicUrl: 'http://127.0.0.1:1', clock: Date.now };
  return askProvider(deps, { id: randomUUID(), provider, jobs: [] });
}
