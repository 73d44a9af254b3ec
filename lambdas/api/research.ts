import { createRoute } from '@hono/zod-openapi';
import { BulkReply } from '../../core/contract/bulk.ts';
import {
  PromoteRequest,
  Prospect,
  ProspectPage,
  ProspectQuery,
  Research,
  ResearchPage,
  ResearchQuery,
  ResearchReply,
  ResearchRequest,
} from '../../core/contract/research.ts';
import { InvalidRequest } from '../../core/errors.ts';
import { enqueue, kickOff } from '../../core/research/enqueue.ts';
import { promoteProspects } from '../../core/research/promote.ts';
import { getProspect, listProspects } from '../../core/research/read/prospects.ts';
import { getResearch, listResearch } from '../../core/research/read/research.ts';
import type { ApiDeps } from './context.ts';
import {
  answerOnce,
  IdParam,
  json,
  jsonRequest,
  Repeat,
  reads,
  readsCached,
  router,
  rowProblems,
  unchanged,
  writeProblems,
  writes,
} from './routes.ts';

const dispatch = createRoute({
  method: 'post',
  path: '/v1/campaigns/{id}/research',
  summary: 'Have companies of a campaign researched',
  tags: ['Research'],
  ...writes('research'),
  request: { params: IdParam, headers: Repeat, body: jsonRequest(ResearchRequest) },
  responses: { 202: json(ResearchReply, 'The batch, and what was accepted.'), ...writeProblems },
});

const list = createRoute({
  method: 'get',
  path: '/v1/research',
  summary: 'List findings about companies, newest first',
  tags: ['Research'],
  ...reads('read'),
  request: { query: ResearchQuery },
  responses: { 200: json(ResearchPage, 'A page of findings.'), ...rowProblems },
});

const get = createRoute({
  method: 'get',
  path: '/v1/research/{id}',
  summary: 'Get the findings about a company',
  tags: ['Research'],
  ...readsCached('read'),
  request: { params: IdParam },
  responses: { 200: json(Research, 'The findings.'), 304: unchanged, ...rowProblems },
});

const people = createRoute({
  method: 'get',
  path: '/v1/prospects',
  summary: 'List people found by research, newest first',
  tags: ['Research'],
  ...reads('read'),
  request: { query: ProspectQuery },
  responses: { 200: json(ProspectPage, 'A page of people.'), ...rowProblems },
});

const person = createRoute({
  method: 'get',
  path: '/v1/prospects/{id}',
  summary: 'Get a person found by research',
  tags: ['Research'],
  ...readsCached('read'),
  request: { params: IdParam },
  responses: { 200: json(Prospect, 'The person.'), 304: unchanged, ...rowProblems },
});

const promote = createRoute({
  method: 'post',
  path: '/v1/prospects/promote',
  summary: 'Make contacts of people found by research, by their email',
  tags: ['Research'],
  ...writes('write'),
  request: { headers: Repeat, body: jsonRequest(PromoteRequest) },
  responses: {
    200: json(BulkReply, 'What became of each; a contact that was there stays as it is.'),
    ...writeProblems,
  },
});

/** Before anything is paid for whom nobody can wake. */
function checkResumeUrl({ refusal }: ApiDeps, { resumeUrl }: ResearchRequest): void {
  const reason = resumeUrl && refusal(resumeUrl);
  if (!reason) return;
  const message = `${reason}; where n8n gave this URL, set its WEBHOOK_URL to the address that others reach it by`;
  throw new InvalidRequest([{ path: 'resumeUrl', code: 'address_refused', message }]);
}

export const research = router()
  .openapi(dispatch, async (c) => {
    const request = c.req.valid('json');
    const { tenantId } = c.get('caller');
    const { id } = c.req.valid('param');
    const { body } = await answerOnce(c, async (db) => {
      checkResumeUrl(c.get('deps'), request);
      return { status: 202 as const, body: await enqueue(db, tenantId, id, request) };
    });
    if (body.batchId !== null && !request.dryRun) {
      // The batch is accepted and committed: trouble with the queue costs a minute, until the sweep, and no answer.
      await kickOff(c.get('deps'), body.batchId).catch((error: Error) => {
        const { code } = error as { code?: unknown };
        c.get('deps').log.warn('research.kick_off_failed', { batchId: body.batchId, name: error.name, code });
      });
    }
    return c.json(body, 202);
  })
  .openapi(list, async (c) => {
    return c.json(await listResearch(c.get('deps'), c.get('caller').tenantId, c.req.valid('query')), 200);
  })
  .openapi(get, async (c) => {
    return c.json(await getResearch(c.get('deps'), c.get('caller').tenantId, c.req.valid('param').id), 200);
  })
  .openapi(people, async (c) => {
    return c.json(await listProspects(c.get('deps'), c.get('caller').tenantId, c.req.valid('query')), 200);
  })
  .openapi(person, async (c) => {
    return c.json(await getProspect(c.get('deps'), c.get('caller').tenantId, c.req.valid('param').id), 200);
  })
  .openapi(promote, async (c) => {
    const request = c.req.valid('json');
    const { tenantId } = c.get('caller');
    const answer = await answerOnce(c, async (db) => ({
      status: 200 as const,
      body: await promoteProspects({ db }, tenantId, request),
    }));
    return c.json(answer.body, 200);
  });
