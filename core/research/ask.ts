import { Webhook } from 'standardwebhooks';
import { type Dispatcher, request } from 'undici';
import type { Ask } from './claim.ts';
import { retryAfterMs } from './retry-after.ts';

const maxAnswerBytes = 8 * 1024 * 1024;

/**
 * What a provider's reply means for the jobs of the ask:
 * - `answered`: `results` may name some or all of them
 * - `accepted`: results come by callback
 * - `transient`: try again, an attempt is used
 * - `throttled`: try again after a pause of the provider, no attempt is used
 * - `permanent`: these jobs fail
 */
type Reading =
  | { type: 'answered'; results: unknown[] }
  | { type: 'accepted' }
  | { type: 'transient' | 'permanent'; errorCode: string; errorMessage: string }
  | { type: 'throttled'; errorCode: string; errorMessage: string; pauseMs: number };
export type Answer = Reading & { httpStatus?: number; latencyMs: number };

/**
 * POSTs one ask, signed by Standard Webhooks with the ask's id as `webhook-id`. Never throws: every failure is an
 * answer. The deadline covers the whole exchange, the body is capped, redirects are not followed.
 */
export async function askProvider(
  deps: { http: Dispatcher; publicUrl: string; clock: () => number },
  ask: Ask,
): Promise<Answer> {
  const startedAt = deps.clock();
  const body = JSON.stringify({
    type: 'research.requested',
    askId: ask.id,
    callbackUrl: `${deps.publicUrl}/v1/callbacks/${ask.id}`,
    requests: ask.jobs.map((job) => ({
      jobId: job.id,
      attemptId: job.attempt_id,
      batchId: job.batch_id,
      kind: job.kind,
      company: job.company,
    })),
  });
  const sentAt = new Date(startedAt);
  try {
    const response = await request(ask.provider.url, {
      dispatcher: deps.http,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        'user-agent': 'aim-for-leads',
        'webhook-id': ask.id,
        'webhook-timestamp': String(Math.floor(sentAt.getTime() / 1000)),
        'webhook-signature': new Webhook(ask.provider.secret).sign(ask.id, sentAt, body),
      },
      body,
      signal: AbortSignal.timeout(ask.provider.timeout_ms),
    });
    const text = await readCapped(response.body);
    const took = { httpStatus: response.statusCode, latencyMs: deps.clock() - startedAt };
    return { ...took, ...read(response.statusCode, response.headers, text, deps.clock()) };
  } catch (error) {
    return { latencyMs: deps.clock() - startedAt, ...readFailure(error) };
  }
}

class AnswerTooLarge extends Error {}

async function readCapped(body: AsyncIterable<Uint8Array> & { destroy(): unknown }): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.byteLength;
    if (bytes > maxAnswerBytes) {
      body.destroy();
      throw new AnswerTooLarge(`the answer is larger than ${maxAnswerBytes} bytes`);
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

type Headers = Record<string, string | string[] | undefined>;
function read(status: number, headers: Headers, text: string, nowMs: number): Reading {
  if (status >= 200 && status < 300) return readSuccess(text);
  const message = `the provider answered ${status}`;
  const pauseMs = retryAfterMs(headers['retry-after'], nowMs);
  if (status === 429 || (status === 503 && pauseMs !== undefined)) {
    return { type: 'throttled', errorCode: 'throttled', errorMessage: message, pauseMs: pauseMs ?? 5_000 };
  }
  // The endpoint is gone or not there yet (an n8n workflow that is switched off): jobs wait, nothing is burned.
  if (status === 404 || status === 410) {
    return { type: 'throttled', errorCode: 'endpoint_missing', errorMessage: message, pauseMs: 60_000 };
  }
  if (status === 408 || status === 425 || status >= 500) {
    return { type: 'transient', errorCode: `http_${status}`, errorMessage: message };
  }
  const hint = status >= 300 && status < 400 ? '; redirects are not followed, give its final URL' : '';
  return { type: 'permanent', errorCode: `http_${status}`, errorMessage: `${message}${hint}` };
}

function readSuccess(text: string): Reading {
  if (text.trim() === '') return { type: 'accepted' };
  try {
    const json: unknown = JSON.parse(text);
    const results = (json as { results?: unknown } | null)?.results;
    return Array.isArray(results) ? { type: 'answered', results } : { type: 'accepted' };
  } catch {
    const errorMessage = 'the provider answered 2xx, but not with JSON';
    return { type: 'transient', errorCode: 'invalid_answer', errorMessage };
  }
}

function readFailure(error: unknown): Reading {
  const { name, code } = error as { name?: string; code?: string };
  if (error instanceof AnswerTooLarge) {
    return { type: 'permanent', errorCode: 'answer_too_large', errorMessage: error.message };
  }
  if (code === 'address_refused') {
    return { type: 'permanent', errorCode: code, errorMessage: (error as Error).message };
  }
  if (name === 'TimeoutError' || code === 'UND_ERR_CONNECT_TIMEOUT') {
    return { type: 'transient', errorCode: 'timeout', errorMessage: 'the provider did not answer in time' };
  }
  return {
    type: 'transient',
    errorCode: 'network',
    errorMessage: `the connection failed (${code ?? name ?? 'unknown'})`,
  };
}
