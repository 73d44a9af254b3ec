import { httpDateMs } from './date.ts';

const maxResetMs = 24 * 60 * 60 * 1000;

type Headers = Record<string, string | string[] | undefined>;

/** So many more requests may be sent until the quota is filled again, `resetMs` from now. */
export interface RateLimit {
  remaining: number;
  resetMs: number;
}

/**
 * Reads what a server says about its quota, in the first of these that it sends:
 * - `RateLimit: "default";r=0;t=30`, a list (draft-ietf-httpapi-ratelimit-headers-08 and later)
 * - `RateLimit: limit=100, remaining=0, reset=30` (draft 07)
 * - `RateLimit-Remaining` and `RateLimit-Reset` (drafts 00 to 06)
 * - `X-RateLimit-Remaining` and `X-RateLimit-Reset-After` or `X-RateLimit-Reset`, also spelt `X-Rate-Limit-…`
 * @param headers with names in lower case
 * @param nowMs the server's time where it is known, because a reset may be a date
 * @returns of several quotas the one that allows the slowest pace; undefined when none is given whole
 */
export function readRateLimit(headers: Headers, nowMs: number): RateLimit | undefined {
  if (!Object.keys(headers).some((name) => /^(x-)?rate-?limit/.test(name))) return undefined;
  const quotas = [...readList(text(headers.ratelimit)), ...readPair(headers, 'ratelimit', nowMs)];
  if (quotas.length === 0) {
    quotas.push(...readPair(headers, 'x-ratelimit', nowMs), ...readPair(headers, 'x-rate-limit', nowMs));
  }
  return quotas.sort((a, b) => pace(a) - pace(b) || b.resetMs - a.resetMs)[0];
}

const pace = ({ remaining, resetMs }: RateLimit) => remaining / Math.max(1, resetMs);

/** Both structured forms: members of a list, each with parameters, and a dictionary that is one quota in all. */
function readList(value: string): RateLimit[] {
  if (value.length > 4096) return [];
  const [, remaining] = /(?:^|,)\s*remaining=(\d{1,15})\s*(?:[,;]|$)/.exec(value) ?? [];
  const [, reset] = /(?:^|,)\s*reset=(\d{1,15})\s*(?:[,;]|$)/.exec(value) ?? [];
  if (remaining !== undefined) return quota(remaining, seconds(reset));
  // A quoted name may hold commas and semicolons.
  const members = value.replace(/"(?:[^"\\]|\\.)*"/g, 'name').split(',');
  return members.flatMap((member) => {
    const parameters = new Map(
      member
        .split(';')
        .slice(1)
        .map((parameter) => parameter.trim().split('=', 2) as [string, string | undefined]),
    );
    return quota(parameters.get('r'), seconds(parameters.get('t')));
  });
}

function readPair(headers: Headers, prefix: string, nowMs: number): RateLimit[] {
  const after = seconds(text(headers[`${prefix}-reset-after`]));
  const resetMs = after ?? momentOrSeconds(text(headers[`${prefix}-reset`]), nowMs);
  return quota(text(headers[`${prefix}-remaining`]), resetMs);
}

function quota(remaining: string | undefined, resetMs: number | undefined): RateLimit[] {
  if (remaining === undefined || !/^\d{1,15}$/.test(remaining) || resetMs === undefined) return [];
  return [{ remaining: Number(remaining), resetMs: Math.min(maxResetMs, Math.max(0, Math.ceil(resetMs))) }];
}

function seconds(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,15}(\.\d{1,9})?$/.test(value) ? Number(value) * 1000 : undefined;
}

/** Nobody agrees what a reset is: seconds from now, or a moment in seconds or milliseconds since 1970, or a date. */
function momentOrSeconds(value: string, nowMs: number): number | undefined {
  const ms = seconds(value);
  if (ms === undefined) {
    const date = httpDateMs(value);
    return date === undefined ? undefined : date - nowMs;
  }
  if (ms > 1e14) return ms / 1000 - nowMs;
  return ms > 1e12 ? ms - nowMs : ms;
}

function text(header: string | string[] | undefined): string {
  return (Array.isArray(header) ? header.join(', ') : (header ?? '')).trim();
}
