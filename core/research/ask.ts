import { Webhook } from 'standardwebhooks';
import type { Dispatcher } from 'undici';
import { maxExchangeMs } from '../http/guard.ts';
import { post } from '../http/post.ts';
import type { RateLimit } from '../http/rate-limit.ts';
import { type Reading, readFailure, readHead, readSuccess } from './answer.ts';
import type { Ask } from './asks.ts';

const maxAnswerBytes = 8 * 1024 * 1024;

type Reply = Reading & {
  httpStatus?: number;
  /** What the provider says is left of its quota, whatever it answered. */
  rateLimit?: RateLimit;
  /** Characters of its body. */
  size?: number;
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
  const reply = await exchange(deps, ask).catch((error): Reply => readFailure(error));
  return { ...reply, latencyMs: deps.clock() - startedAt };
}

async function exchange(
  deps: { http: Dispatcher; publicUrl: string; clock: () => number },
  ask: Ask,
): Promise<Reply> {
  const body = bodyOf(ask, deps.publicUrl);
  const sentAt = new Date(deps.clock());
  const { status, headers, text, error } = await post(deps.http, {
    url: ask.provider.url,
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
    timeoutMs: Math.min(ask.provider.timeout_ms, maxExchangeMs),
    maxBytes: maxAnswerBytes,
  });
  const { reading, ...head } = readHead(status, headers, deps.clock());
  return {
    httpStatus: status,
    size: text?.length ?? 0,
    ...head,
    ...(reading ?? (text === undefined ? readFailure(error) : readSuccess(text))),
  };
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
