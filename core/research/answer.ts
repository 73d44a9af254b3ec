import { httpDateMs } from '../http/date.ts';
import { BodyTooLarge, BodyUnreadable } from '../http/post.ts';
import { type RateLimit, readRateLimit } from '../http/rate-limit.ts';
import { retryAfterMs } from './retry-after.ts';

/**
 * What a provider's reply means for the jobs of the ask:
 * - `answered`: `results` may name some or all of them
 * - `accepted`: results come by callback
 * - `transient`: try again, an attempt is used
 * - `throttled`: try again after a pause of the provider, no attempt is used
 * - `permanent`: these jobs fail
 *
 * `errorCode` is `endpoint_missing` for 404 and 410, so that a circuit may open. No message holds anything of the
 * body, the headers or the URL.
 */
export type Reading =
  | { type: 'answered'; results: unknown[] }
  | { type: 'accepted' }
  | { type: 'transient' | 'permanent'; errorCode: string; errorMessage: string }
  | { type: 'throttled'; errorCode: string; errorMessage: string; pauseMs: number };

export type Headers = Record<string, string | string[] | undefined>;

/** A pause of nothing would have a job that costs no attempt go round for ever, as fast as it can. */
const minPauseMs = 1_000;
const pauseWithoutHintMs = 5_000;
const pauseOfMissingEndpointMs = 60_000;

/** What the head of the reply says: its meaning, unless it is a 2xx, and the provider's quota. */
export function readHead(
  status: number,
  headers: Headers,
  nowMs: number,
): { reading?: Reading; rateLimit?: RateLimit } {
  // Dates in headers were made by the provider's clock, which need not agree with ours.
  const theirNowMs = httpDateMs(String(headers.date ?? '')) ?? nowMs;
  const rateLimit = readRateLimit(headers, theirNowMs);
  const quota = rateLimit && { rateLimit };
  if (status >= 200 && status < 300) return { ...quota };
  const pauseMs = retryAfterMs(headers['retry-after'], theirNowMs);
  return { ...quota, reading: readStatus(status, pauseMs, rateLimit) };
}

function readStatus(
  status: number,
  retryAfter: number | undefined,
  rateLimit: RateLimit | undefined,
): Reading {
  const errorMessage = `the provider answered ${status}`;
  if (status === 429 || (status === 503 && retryAfter !== undefined)) {
    const untilReset = rateLimit?.remaining === 0 ? rateLimit.resetMs : undefined;
    const pauseMs = Math.max(minPauseMs, retryAfter ?? untilReset ?? pauseWithoutHintMs);
    return { type: 'throttled', errorCode: 'throttled', errorMessage, pauseMs };
  }
  // The endpoint is gone or not there yet (an n8n workflow that is switched off): jobs wait, nothing is burned.
  if (status === 404 || status === 410) {
    const pauseMs = pauseOfMissingEndpointMs;
    return { type: 'throttled', errorCode: 'endpoint_missing', errorMessage, pauseMs };
  }
  if (status === 408 || status === 425 || status >= 500) {
    return { type: 'transient', errorCode: `http_${status}`, errorMessage };
  }
  const hint = status >= 300 && status < 400 ? '; redirects are not followed, give its final URL' : '';
  return { type: 'permanent', errorCode: `http_${status}`, errorMessage: `${errorMessage}${hint}` };
}

/** @param text the whole body of a 2xx */
export function readSuccess(text: string): Reading {
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

const timeouts = ['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT'];
const certificateProblem =
  /CERT|SELF_SIGNED|UNABLE_TO_(VERIFY|GET)|HOSTNAME_MISMATCH|CRL|^INVALID_(CA|PURPOSE)/;

/** @param error what the exchange threw; only its code is kept, because its message may hold anything */
export function readFailure(error: unknown): Reading {
  const { name, code: anyCode } = error as { name?: string; code?: unknown };
  const code = typeof anyCode === 'string' && /^\w{1,60}$/.test(anyCode) ? anyCode : 'unknown';
  if (error instanceof BodyTooLarge) {
    return { type: 'permanent', errorCode: 'answer_too_large', errorMessage: error.message };
  }
  if (error instanceof BodyUnreadable) {
    return { type: 'transient', errorCode: 'invalid_answer', errorMessage: error.message };
  }
  if (code === 'address_refused') {
    return { type: 'permanent', errorCode: code, errorMessage: (error as Error).message };
  }
  if (name === 'TimeoutError' || timeouts.includes(code)) {
    return { type: 'transient', errorCode: 'timeout', errorMessage: 'the provider did not answer in time' };
  }
  if (certificateProblem.test(code)) {
    const errorMessage = `the provider's certificate is not to be trusted (${code})`;
    return { type: 'transient', errorCode: 'certificate', errorMessage };
  }
  return { type: 'transient', errorCode: 'network', errorMessage: `the connection failed (${code})` };
}
