import { Webhook } from 'standardwebhooks';
import { type Dispatcher, request } from 'undici';
import { readBody } from '../http/body.ts';
import { maxExchangeMs } from '../http/guard.ts';
import type { RateLimit } from '../http/rate-limit.ts';
import { within } from '../http/within.ts';
import { type Headers, type Reading, readFailure, readHead, readSuccess } from './answer.ts';
import type { Ask } from './asks.ts';

const maxAnswerBytes = 8 * 1024 * 1024;
/** Of an answer that is not a 2xx, whose body says nothing to us, at most so much is read to keep the connection. */
const maxIgnoredBytes = 64 * 1024;
const maxIgnoredMs = 5_000;

type Reply = Reading & {
  httpStatus?: number;
  /** What the provider says is left of its quota, whatever it answered. */
  rateLimit?: RateLimit;
};
export type Answer = Reply & { latencyMs: number };

/**
 * POSTs one ask, signed by Standard Webhooks with the ask's id as `webhook-id`. Never throws: every failure is an
 * answer. The deadline covers the whole exchange, from the name's look-up to the last byte; the body is capped,
 * redirects are not followed.
 */
export async function askProvider(
  deps: { http: Dispatcher; publicUrl: string; clock: () => number },
  ask: Ask,
): Promise<Answer> {
  const startedAt = deps.clock();
  const timeoutMs = Math.min(ask.provider.timeout_ms, maxExchangeMs);
  try {
    const answer = await within(timeoutMs, (signal) => exchange(deps, ask, signal));
    return { ...answer, latencyMs: deps.clock() - startedAt };
  } catch (error) {
    return { ...readFailure(error), latencyMs: deps.clock() - startedAt };
  }
}

async function exchange(
  deps: { http: Dispatcher; publicUrl: string; clock: () => number },
  ask: Ask,
  signal: AbortSignal,
): Promise<Reply> {
  const body = bodyOf(ask, deps.publicUrl);
  const sentAt = new Date(deps.clock());
  const response = await request(ask.provider.url, {
    dispatcher: deps.http,
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      'accept-encoding': 'gzip',
      'user-agent': 'aim-for-leads',
      'webhook-id': ask.id,
      'webhook-timestamp': String(Math.floor(sentAt.getTime() / 1000)),
      'webhook-signature': new Webhook(ask.provider.secret).sign(ask.id, sentAt, body),
    },
    body,
    signal,
  });
  const httpStatus = response.statusCode;
  const headers: Headers = response.headers;
  const { reading, ...head } = readHead(httpStatus, headers, deps.clock());
  if (reading) {
    // Not waited for: whoever says no need not be heard out.
    response.body
      .dump({ limit: maxIgnoredBytes, signal: AbortSignal.timeout(maxIgnoredMs) })
      .catch(() => undefined);
    return { httpStatus, ...head, ...reading };
  }
  try {
    const text = await readBody(response.body, headers, { maxBytes: maxAnswerBytes });
    return { httpStatus, ...head, ...readSuccess(text) };
  } catch (error) {
    return { httpStatus, ...head, ...readFailure(error) };
  }
}

function bodyOf(ask: Ask, publicUrl: string): string {
  return JSON.stringify({
    type: 'research.requested',
    askId: ask.id,
    callbackUrl: `${publicUrl}/v1/callbacks/${ask.id}`,
    requests: ask.jobs.map((job) => ({
      jobId: job.id,
      attemptId: job.attempt_id,
      batchId: job.batch_id,
      kind: job.kind,
      company: job.company,
    })),
  });
}
