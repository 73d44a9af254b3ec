import { createRoute } from '@hono/zod-openapi';
import { Health, Me } from '../../core/contract/keys.ts';
import { sql } from '../../core/db/sql.ts';
import { json, openProblems, problems, reads, router } from './routes.ts';

const health = createRoute({
  method: 'get',
  path: '/health',
  summary: 'Whether the service and its database answer',
  tags: ['Service'],
  security: [],
  responses: { 200: json(Health, 'Both answer.'), ...openProblems },
});

const me = createRoute({
  method: 'get',
  path: '/v1/me',
  summary: 'Whose key this is, and what it may do',
  tags: ['Service'],
  ...reads(),
  responses: { 200: json(Me, 'The key.'), ...problems },
});

export const service = router()
  .openapi(health, async (c) => {
    await c.get('deps').db.query(sql('health')`select 1 as one`);
    return c.json({ status: 'ok' as const, database: 'ok' as const }, 200);
  })
  .openapi(me, (c) => c.json({ ...c.get('caller'), product: 'aim-for-leads' as const }, 200));
