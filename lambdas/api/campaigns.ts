import { createRoute } from '@hono/zod-openapi';
import { createCampaign } from '../../core/campaigns/create.ts';
import { deleteCampaign } from '../../core/campaigns/delete.ts';
import { getCampaign } from '../../core/campaigns/get.ts';
import { listCampaigns } from '../../core/campaigns/list.ts';
import { updateCampaign } from '../../core/campaigns/update.ts';
import {
  Campaign,
  CampaignDraft,
  CampaignPage,
  CampaignPatch,
  CampaignQuery,
} from '../../core/contract/campaigns.ts';
import {
  answerOnce,
  IdParam,
  json,
  jsonRequest,
  problems,
  Repeat,
  readProblems,
  reads,
  readsCached,
  router,
  unchanged,
  writeProblems,
  writes,
} from './routes.ts';

const list = createRoute({
  method: 'get',
  path: '/v1/campaigns',
  summary: 'List campaigns, newest first',
  tags: ['Campaigns'],
  ...readsCached('read'),
  request: { query: CampaignQuery },
  responses: { 200: json(CampaignPage, 'A page of campaigns.'), 304: unchanged, ...problems },
});

const get = createRoute({
  method: 'get',
  path: '/v1/campaigns/{id}',
  summary: 'Get a campaign',
  tags: ['Campaigns'],
  ...readsCached('read'),
  request: { params: IdParam },
  responses: { 200: json(Campaign, 'The campaign.'), 304: unchanged, ...readProblems },
});

const create = createRoute({
  method: 'post',
  path: '/v1/campaigns',
  summary: 'Create a campaign',
  tags: ['Campaigns'],
  ...writes('write'),
  request: { headers: Repeat, body: jsonRequest(CampaignDraft) },
  responses: { 201: json(Campaign, 'The new campaign.'), ...writeProblems },
});

const patch = createRoute({
  method: 'patch',
  path: '/v1/campaigns/{id}',
  summary: 'Rename a campaign',
  tags: ['Campaigns'],
  ...writes('write'),
  request: { params: IdParam, headers: Repeat, body: jsonRequest(CampaignPatch) },
  responses: { 200: json(Campaign, 'The campaign as it is now.'), ...writeProblems },
});

const remove = createRoute({
  method: 'delete',
  path: '/v1/campaigns/{id}',
  summary: 'Delete a campaign with its companies, contacts and research',
  tags: ['Campaigns'],
  ...reads('write'),
  request: { params: IdParam },
  responses: {
    204: { description: 'Out of sight at once. The rows of a large one go in the background.' },
    ...readProblems,
  },
});

export const campaigns = router()
  .openapi(list, async (c) => {
    return c.json(await listCampaigns(c.get('deps'), c.get('caller').tenantId, c.req.valid('query')), 200);
  })
  .openapi(get, async (c) => {
    return c.json(await getCampaign(c.get('deps'), c.get('caller').tenantId, c.req.valid('param').id), 200);
  })
  .openapi(create, async (c) => {
    const draft = c.req.valid('json');
    const { tenantId } = c.get('caller');
    const answer = await answerOnce(c, async (db) => ({
      status: 201 as const,
      body: await createCampaign({ db }, tenantId, draft),
    }));
    return c.json(answer.body, 201);
  })
  .openapi(patch, async (c) => {
    const changes = c.req.valid('json');
    const { tenantId } = c.get('caller');
    const { id } = c.req.valid('param');
    const answer = await answerOnce(c, async (db) => ({
      status: 200 as const,
      body: await updateCampaign({ db }, tenantId, id, changes),
    }));
    return c.json(answer.body, 200);
  })
  .openapi(remove, async (c) => {
    await deleteCampaign(c.get('deps'), c.get('caller').tenantId, c.req.valid('param').id);
    return c.body(null, 204);
  });
