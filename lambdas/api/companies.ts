import { createRoute } from '@hono/zod-openapi';
import { getCompany, listCompanies } from '../../core/companies/list.ts';
import { upsertCompanies } from '../../core/companies/upsert.ts';
import { BulkReply } from '../../core/contract/bulk.ts';
import { Company, CompanyBulk, CompanyPage, CompanyQuery } from '../../core/contract/companies.ts';
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

const list = createRoute({
  method: 'get',
  path: '/v1/companies',
  summary: 'List companies, newest first',
  tags: ['Companies'],
  ...reads('read'),
  request: { query: CompanyQuery },
  responses: { 200: json(CompanyPage, 'A page of companies.'), ...rowProblems },
});

const get = createRoute({
  method: 'get',
  path: '/v1/companies/{id}',
  summary: 'Get a company',
  tags: ['Companies'],
  ...readsCached('read'),
  request: { params: IdParam },
  responses: { 200: json(Company, 'The company.'), 304: unchanged, ...rowProblems },
});

const bulk = createRoute({
  method: 'post',
  path: '/v1/companies/bulk',
  summary: 'Create or update up to 1,000 companies, with a result for each row',
  tags: ['Companies'],
  ...writes('write'),
  request: { headers: Repeat, body: jsonRequest(CompanyBulk) },
  responses: { 200: json(BulkReply, 'What became of each row; a bad row fails alone.'), ...writeProblems },
});

export const companies = router()
  .openapi(list, async (c) => {
    return c.json(await listCompanies(c.get('deps'), c.get('caller').tenantId, c.req.valid('query')), 200);
  })
  .openapi(get, async (c) => {
    return c.json(await getCompany(c.get('deps'), c.get('caller').tenantId, c.req.valid('param').id), 200);
  })
  .openapi(bulk, async (c) => {
    const request = c.req.valid('json');
    const { tenantId } = c.get('caller');
    const answer = await answerOnce(c, async (db) => ({
      status: 200 as const,
      body: await upsertCompanies({ db }, tenantId, request),
    }));
    return c.json(answer.body, 200);
  });
