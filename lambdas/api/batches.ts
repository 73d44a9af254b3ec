import { createRoute } from '@hono/zod-openapi';
import { Batch, BatchPage, BatchQuery, Job, JobPage, JobQuery } from '../../core/contract/batches.ts';
import { getBatch, listBatches } from '../../core/research/read/batches.ts';
import { getJob, listJobs } from '../../core/research/read/jobs.ts';
import { IdParam, json, readProblems, reads, router, rowProblems } from './routes.ts';

const list = createRoute({
  method: 'get',
  path: '/v1/batches',
  summary: 'List batches with their counts, newest first',
  tags: ['Batches'],
  ...reads('read'),
  request: { query: BatchQuery },
  responses: { 200: json(BatchPage, 'A page of batches.'), ...rowProblems },
});

const get = createRoute({
  method: 'get',
  path: '/v1/batches/{id}',
  summary: 'Get a batch: how far it is',
  tags: ['Batches'],
  ...reads('read'),
  request: { params: IdParam },
  responses: { 200: json(Batch, 'The batch.'), ...readProblems },
});

const jobs = createRoute({
  method: 'get',
  path: '/v1/jobs',
  summary: "List a batch's jobs, one for each company, in the order of the companies",
  tags: ['Batches'],
  ...reads('read'),
  request: { query: JobQuery },
  responses: { 200: json(JobPage, 'A page of jobs.'), ...rowProblems },
});

const job = createRoute({
  method: 'get',
  path: '/v1/jobs/{id}',
  summary: 'Get a job',
  tags: ['Batches'],
  ...reads('read'),
  request: { params: IdParam },
  responses: { 200: json(Job, 'The job.'), ...readProblems },
});

export const batches = router()
  .openapi(list, async (c) => {
    return c.json(await listBatches(c.get('deps'), c.get('caller').tenantId, c.req.valid('query')), 200);
  })
  .openapi(get, async (c) => {
    return c.json(await getBatch(c.get('deps'), c.get('caller').tenantId, c.req.valid('param').id), 200);
  })
  .openapi(jobs, async (c) => {
    return c.json(await listJobs(c.get('deps'), c.get('caller').tenantId, c.req.valid('query')), 200);
  })
  .openapi(job, async (c) => {
    return c.json(await getJob(c.get('deps'), c.get('caller').tenantId, c.req.valid('param').id), 200);
  });
