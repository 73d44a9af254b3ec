import { randomUUID } from 'node:crypto';
import type { OpenAPIHono } from '@hono/zod-openapi';
import { matchedRoutes } from 'hono/route';
import { NotFound } from '../../core/errors.ts';
import { archives } from './archives.ts';
import { batches } from './batches.ts';
import { callbacks } from './callbacks.ts';
import { campaigns } from './campaigns.ts';
import { changes } from './changes.ts';
import { companies } from './companies.ts';
import { contacts } from './contacts.ts';
import type { ApiEnv, UnboundDeps } from './context.ts';
import { describe } from './openapi.ts';
import { answerProblem, HttpError } from './problems.ts';
import { providers } from './providers.ts';
import { research } from './research.ts';
import { router } from './routes.ts';
import { service } from './service.ts';

/** The whole HTTP API over its dependencies; `app.request(…)` is enough to test it. */
export function buildApp(deps: UnboundDeps): OpenAPIHono<ApiEnv> {
  const app = router();
  app.use('*', async (c, next) => {
    const startedAt = deps.clock();
    c.set('unbound', deps);
    c.set('deps', deps);
    c.set('requestId', c.env?.lambdaContext?.awsRequestId ?? randomUUID());
    await next();
    c.res.headers.set('x-request-id', c.get('requestId'));
    deps.log.info('api.request', {
      method: c.req.method,
      // The pattern, never the path: paths may carry names.
      route: matchedRoutes(c).findLast((route) => route.path !== '/*')?.path ?? 'none',
      status: c.res.status,
      ms: deps.clock() - startedAt,
      requestId: c.get('requestId'),
      tenantId: c.get('caller')?.tenantId,
    });
  });
  for (const part of [
    service,
    campaigns,
    companies,
    contacts,
    providers,
    research,
    batches,
    changes,
    callbacks,
    archives,
  ]) {
    app.route('/', part);
  }
  const description = describe(app);
  app.get('/openapi.json', (c) => c.json(description()));

  app.onError((error, c) => answerProblem(error, c));
  app.notFound((c) => answerProblem(noRoute(app, c.req.method, c.req.path), c));
  return app;
}

/** A path that exists with other methods is a 405, any other a 404. */
function noRoute(app: OpenAPIHono<ApiEnv>, method: string, path: string): Error {
  const allowed = app.routes
    .filter((route) => route.method !== 'ALL' && matches(route.path, path))
    .map((route) => route.method);
  if (allowed.length === 0) return new NotFound('the path', path.slice(0, 200));
  const allow = [...new Set(allowed)].join(', ');
  return new HttpError(405, 'method_not_allowed', `${method} is not possible here; use ${allow}`, { allow });
}

function matches(pattern: string, path: string): boolean {
  const wanted = pattern.split('/');
  const given = path.split('/');
  return (
    wanted.length === given.length &&
    wanted.every((part, at) => (part.startsWith(':') ? given[at] !== '' : part === given[at]))
  );
}
