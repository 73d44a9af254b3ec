import { httpDateMs } from '../http/date.ts';

const maxPauseMs = 24 * 60 * 60 * 1000;

/**
 * Reads `Retry-After`, in seconds or as an HTTP date (RFC 9110 §10.2.3), at most a day. A date that has passed is 0.
 * @param nowMs the server's time where it is known: a date is only as good as the clock it was made with
 * @returns milliseconds from now, or undefined when the header is absent or makes no sense
 */
export function retryAfterMs(header: string | string[] | undefined, nowMs: number): number | undefined {
  const value = (Array.isArray(header) ? header[0] : header)?.trim();
  if (!value) return undefined;
  const date = httpDateMs(value);
  const ms = /^\d+(\.\d+)?$/.test(value)
    ? Number(value) * 1000
    : date === undefined
      ? undefined
      : date - nowMs;
  return ms === undefined ? undefined : Math.min(maxPauseMs, Math.max(0, Math.ceil(ms)));
}
