import { createRoute, z } from '@hono/zod-openapi';
import {
  Provider,
  ProviderDraft,
  ProviderName,
  ProviderNameOrId,
  ProviderPage,
  ProviderQuery,
  ProviderWithSecret,
} from '../../core/contract/providers.ts';
import { getProvider, listProviders } from '../../core/providers/list.ts';
import { putProvider } from '../../core/providers/put.ts';
import {
  answerOnce,
  json,
  jsonRequest,
  problems,
  Repeat,
  readProblems,
  readsCached,
  router,
  unchanged,
  writeProblems,
  writes,
} from './routes.ts';

const list = createRoute({
  method: 'get',
  path: '/v1/providers',
  summary: 'List providers',
  tags: ['Providers'],
  ...readsCached('read'),
  request: { query: ProviderQuery },
  responses: { 200: json(ProviderPage, 'A page of providers.'), 304: unchanged, ...problems },
});

const get = createRoute({
  method: 'get',
  path: '/v1/providers/{name}',
  summary: 'Get a provider by name or id',
  tags: ['Providers'],
  ...readsCached('read'),
  request: { params: z.object({ name: ProviderNameOrId }) },
  responses: { 200: json(Provider, 'The provider.'), 304: unchanged, ...readProblems },
});

const put = createRoute({
  method: 'put',
  path: '/v1/providers/{name}',
  summary: 'Create or replace a provider by name',
  tags: ['Providers'],
  ...writes('write'),
  request: { params: z.object({ name: ProviderName }), headers: Repeat, body: jsonRequest(ProviderDraft) },
  responses: {
    200: json(ProviderWithSecret, 'The provider was there; it is so now.'),
    201: json(ProviderWithSecret, 'The provider is new; its secret is shown this once.'),
    ...writeProblems,
  },
});

export const providers = router()
  .openapi(list, async (c) => {
    return c.json(await listProviders(c.get('deps'), c.get('caller').tenantId, c.req.valid('query')), 200);
  })
  .openapi(get, async (c) => {
    return c.json(await getProvider(c.get('deps'), c.get('caller').tenantId, c.req.valid('param').name), 200);
  })
  .openapi(put, async (c) => {
    const draft = c.req.valid('json');
    const { name } = c.req.valid('param');
    const { tenantId } = c.get('caller');
    const answer = await answerOnce(c, async (db) => {
      const { created, provider } = await putProvider({ db }, tenantId, name, draft);
      return { status: created ? (201 as const) : (200 as const), body: provider };
    });
    return c.json(answer.body, answer.status);
  });
