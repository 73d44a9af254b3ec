import { createMiddleware } from 'hono/factory';
import { validate } from '../../core/changes/validate.ts';
import type { ApiEnv } from './context.ts';

/**
 * May be shown again at once for five minutes by a reader that asks anew behind it (`stale-while-revalidate`); any
 * other reader asks each time, which costs one statement while nothing has changed. Never kept by a shared cache.
 */
const cacheControl = 'private, max-age=0, stale-while-revalidate=300';

/** Answers 304 while nothing of the tenant has changed since the answer that the caller holds. */
export const cached = createMiddleware<ApiEnv>(async (c, next) => {
  const { tenantId, scopes } = c.get('caller');
  const { pathname, search } = new URL(c.req.url);
  const given = c.req.header('if-none-match');
  // Before the data is read: what commits in between makes the tag too old, never too new.
  const { stands, tag } = await validate(c.get('deps'), tenantId, [pathname, search, ...scopes], given);
  const headers = { etag: tag, 'cache-control': cacheControl, vary: 'authorization' };
  if (stands) return c.body(null, 304, headers);
  await next();
  if (c.res.status !== 200) return;
  for (const [name, value] of Object.entries(headers)) c.res.headers.set(name, value);
});
