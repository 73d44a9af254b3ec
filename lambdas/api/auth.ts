import { createMiddleware } from 'hono/factory';
import type { Scope } from '../../core/contract/keys.ts';
import { Forbidden, Unauthorized } from '../../core/errors.ts';
import { authenticate, type Caller } from '../../core/keys/authenticate.ts';
import { type ApiDeps, type ApiEnv, bindTenant } from './context.ts';

/** @throws Unauthorized for a missing, unknown or revoked key, Forbidden for one without the scope */
export async function authorise(
  deps: ApiDeps,
  header: string | undefined,
  scope: Scope | undefined,
): Promise<Caller> {
  const key = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1];
  const caller = key === undefined ? undefined : await authenticate(deps, key);
  if (!caller) throw new Unauthorized();
  if (scope !== undefined && !caller.scopes.includes(scope)) throw new Forbidden(scope);
  return caller;
}

/** Lets only callers with an API key of that scope pass, any key when there is no scope. */
export function requireScope(scope?: Scope) {
  return createMiddleware<ApiEnv>(async (c, next) => {
    const caller = await authorise(c.get('unbound'), c.req.header('authorization'), scope);
    c.set('caller', caller);
    bindTenant(c, caller.tenantId);
    await next();
  });
}
