import { createMiddleware } from 'hono/factory';
import type { ApiEnv } from './context.ts';
import { HttpError, unsupportedMediaType } from './problems.ts';

export const maxBodyBytes = 1024 * 1024;

/** Takes the body as it came: at most 1 MiB of valid UTF-8. */
export const rawBody = createMiddleware<ApiEnv>(async (c, next) => {
  if (Number(c.req.header('content-length') ?? 0) > maxBodyBytes) throw tooLarge();
  const bytes = await c.req.arrayBuffer();
  if (bytes.byteLength > maxBodyBytes) throw tooLarge();
  try {
    // A byte order mark stays: it is part of what was signed.
    c.set('rawBody', new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw new HttpError(400, 'invalid_json', 'the body is not valid UTF-8');
  }
  await next();
});

/** Says what is wrong with a body that is not JSON; runs after `rawBody`. */
export const jsonBody = createMiddleware<ApiEnv>(async (c, next) => {
  const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') throw unsupportedMediaType();
  try {
    JSON.parse(c.get('rawBody').replace(/^\ufeff/, ''));
  } catch {
    throw new HttpError(400, 'invalid_json', 'the body is not valid JSON');
  }
  await next();
});

function tooLarge(): HttpError {
  return new HttpError(413, 'payload_too_large', 'the body is larger than 1 MiB; send fewer rows at once');
}
