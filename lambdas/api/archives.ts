import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { getErasure, listErasures, startErasure } from '../../core/archive/forget/erase.ts';
import { listEvents } from '../../core/archive/read/events.ts';
import { exportArchive } from '../../core/archive/read/export.ts';
import { findArchived } from '../../core/archive/read/find.ts';
import { checkArchive, listArchives, showArchive } from '../../core/archive/read/list.ts';
import { getPolicy, putPolicy } from '../../core/archive/read/policy.ts';
import { archivedTables, readArchivedRows } from '../../core/archive/read/rows.ts';
import { startRestore } from '../../core/archive/restore.ts';
import { startArchive } from '../../core/archive/start.ts';
import type { ArchiveTask } from '../../core/archive/task.ts';
import {
  Archive,
  ArchivedCompanyPage,
  ArchivedContactPage,
  ArchivedRowsQuery,
  ArchiveEventPage,
  ArchiveEventQuery,
  ArchiveExportQuery,
  ArchiveHitPage,
  ArchivePage,
  ArchivePolicy,
  ArchivePolicyDraft,
  ArchiveQuery,
  ArchiveRequest,
  ArchiveSearchQuery,
  Erasure,
  ErasurePage,
  ErasureQuery,
  ErasureRequest,
  RestoreRequest,
} from '../../core/contract/archives.ts';
import type { Company } from '../../core/contract/companies.ts';
import type { Contact } from '../../core/contract/contacts.ts';
import { AimError } from '../../core/errors.ts';
import type { ApiEnv } from './context.ts';
import {
  answerOfRepeat,
  answerOnce,
  IdParam,
  json,
  jsonRequest,
  problem,
  problems,
  Repeat,
  readProblems,
  reads,
  router,
  rowProblems,
  writeProblems,
  writes,
} from './routes.ts';

const tags = ['Archives'];
const read = { method: 'get' as const, tags, ...reads('read') };
const write = { tags, ...writes('write') };

/** Well within the function's 29 s (serverless.yml): the rest is for the mark, and for a database that is slow. */
const cancelMs = 15_000;

const archive = createRoute({
  ...write,
  method: 'post',
  path: '/v1/campaigns/{id}/archive',
  summary: 'Archive a campaign with everything below it',
  request: { params: IdParam, headers: Repeat, body: jsonRequest(ArchiveRequest) },
  responses: {
    202: json(Archive, 'Begun; GET /v1/archives/{id} shows how far it is.'),
    ...writeProblems,
    503: problem(
      'Jobs are left to be cancelled (`cancelling`, with how many), or the database cannot be reached: send the same request again.',
    ),
  },
});
const restore = createRoute({
  ...write,
  method: 'post',
  path: '/v1/campaigns/{id}/restore',
  summary: 'Bring an archived campaign back as it was',
  request: { params: IdParam, headers: Repeat, body: jsonRequest(RestoreRequest) },
  responses: { 202: json(Archive, 'Begun; GET /v1/archives/{id} shows how far it is.'), ...writeProblems },
});
const list = createRoute({
  ...read,
  path: '/v1/archives',
  summary: 'List archives, newest first',
  request: { query: ArchiveQuery },
  responses: { 200: json(ArchivePage, 'A page of archives.'), ...problems },
});
const search = createRoute({
  ...read,
  path: '/v1/archives/search',
  summary: 'Find an email or a domain in all archives',
  request: { query: ArchiveSearchQuery },
  responses: { 200: json(ArchiveHitPage, 'A page of hits, by archive.'), ...problems },
});
const events = createRoute({
  ...read,
  path: '/v1/archives/events',
  summary: 'What was archived, restored and purged, what failed and why, newest first',
  request: { query: ArchiveEventQuery },
  responses: { 200: json(ArchiveEventPage, 'A page of 90 days.'), ...problems },
});
const get = createRoute({
  ...read,
  path: '/v1/archives/{id}',
  summary: 'Get an archive, by the id of its campaign: how far it is',
  request: { params: IdParam },
  responses: { 200: json(Archive, 'The archive.'), ...readProblems },
});
const contacts = createRoute({
  ...read,
  path: '/v1/archives/{id}/contacts',
  summary: 'Read archived contacts without restoring them',
  request: { params: IdParam, query: ArchivedRowsQuery },
  responses: { 200: json(ArchivedContactPage, 'A page, in the order of the archive.'), ...rowProblems },
});
const companies = createRoute({
  ...read,
  path: '/v1/archives/{id}/companies',
  summary: 'Read archived companies without restoring them',
  request: { params: IdParam, query: ArchivedRowsQuery },
  responses: { 200: json(ArchivedCompanyPage, 'A page, in the order of the archive.'), ...rowProblems },
});
const partHeaders = z.object({
  'x-last-part': z.enum(['true', 'false']).meta({ description: 'Whether the file ends with this part.' }),
  'x-next-cursor': z
    .string()
    .optional()
    .meta({ description: 'Give it as `cursor` for the next part; absent at the end.' }),
});
const download = createRoute({
  ...read,
  path: '/v1/archives/{id}/export',
  summary: 'Export archived rows as NDJSON or CSV, part by part',
  request: { params: IdParam, query: ArchiveExportQuery },
  responses: {
    200: {
      description:
        'A part of the file. All parts, one behind the other, are the file. A CSV begins with a byte order mark, once.',
      headers: partHeaders,
      content: { 'application/x-ndjson': { schema: z.string() }, 'text/csv': { schema: z.string() } },
    },
    ...rowProblems,
  },
});
const policy = createRoute({
  ...read,
  path: '/v1/archive-policy',
  summary: 'When campaigns are archived by themselves, and how long archives are kept',
  responses: { 200: json(ArchivePolicy, 'The policy.'), ...problems },
});
const setPolicy = createRoute({
  ...write,
  method: 'put',
  path: '/v1/archive-policy',
  summary: 'Set when campaigns are archived by themselves, and how long archives are kept',
  request: { headers: Repeat, body: jsonRequest(ArchivePolicyDraft) },
  responses: { 200: json(ArchivePolicy, 'The policy; it holds from the next night on.'), ...writeProblems },
});
const erase = createRoute({
  ...write,
  method: 'post',
  path: '/v1/erasures',
  summary: 'Forget a person by email, in archives too',
  request: { headers: Repeat, body: jsonRequest(ErasureRequest) },
  responses: {
    202: json(Erasure, 'Begun, or gone on with; the same request again is harmless.'),
    ...writeProblems,
  },
});
const erasures = createRoute({
  ...read,
  path: '/v1/erasures',
  summary: 'List erasures, newest first; whom they forgot they do not say',
  request: { query: ErasureQuery },
  responses: { 200: json(ErasurePage, 'A page of erasures.'), ...problems },
});
const erasure = createRoute({
  ...read,
  path: '/v1/erasures/{id}',
  summary: 'Get an erasure: whether it is done, and what it changed',
  request: { params: IdParam },
  responses: { 200: json(Erasure, 'The erasure.'), ...readProblems },
});

/** The work itself. Where the function cannot be called the nightly run does it. */
async function begin(c: Context<ApiEnv>, task: ArchiveTask): Promise<boolean> {
  const { invokeArchive, log } = c.get('deps');
  try {
    await invokeArchive(task);
    return true;
  } catch (error) {
    log.warn('archive.not_invoked', { task: task.task, error: (error as Error).name });
    return false;
  }
}

export const archives = router()
  .openapi(archive, async (c) => {
    const { tenantId } = c.get('caller');
    const { id } = c.req.valid('param');
    const request = c.req.valid('json');
    const { db, clock } = c.get('deps');
    const until = clock() + cancelMs;
    const options = { ...request, remainingMs: () => until - clock() };
    // Cancelled jobs commit ahead of the answer: a campaign of very many takes several requests, each a part of them.
    const answer =
      (await answerOfRepeat<202, Archive>(c)) ??
      (await startArchive(db, tenantId, id, options, (mark) =>
        answerOnce(c, async (tx) => {
          await tx.transaction(mark);
          return { status: 202 as const, body: await showArchive({ db: tx }, tenantId, id) };
        }),
      ));
    await begin(c, { v: 1, task: 'archive', archiveId: id, tenantId, times: 1 });
    return c.json(answer.body, 202);
  })
  .openapi(restore, async (c) => {
    const { tenantId } = c.get('caller');
    const { id } = c.req.valid('param');
    const answer = await answerOnce(c, async (db) => {
      await startRestore(db, tenantId, id);
      return { status: 202 as const, body: await showArchive({ db }, tenantId, id) };
    });
    await begin(c, { v: 1, task: 'restore', archiveId: id, tenantId, times: 1 });
    return c.json(answer.body, 202);
  })
  .openapi(list, async (c) => {
    return c.json(await listArchives(c.get('deps'), c.get('caller').tenantId, c.req.valid('query')), 200);
  })
  .openapi(search, async (c) => {
    return c.json(await findArchived(c.get('deps'), c.get('caller').tenantId, c.req.valid('query')), 200);
  })
  .openapi(events, async (c) => {
    return c.json(await listEvents(c.get('deps'), c.get('caller').tenantId, c.req.valid('query')), 200);
  })
  .openapi(get, async (c) => {
    return c.json(await showArchive(c.get('deps'), c.get('caller').tenantId, c.req.valid('param').id), 200);
  })
  .openapi(contacts, async (c) => {
    const { id } = c.req.valid('param');
    await checkArchive(c.get('deps'), c.get('caller').tenantId, id);
    const { db } = c.get('deps');
    return c.json(
      await readArchivedRows<Contact>(db, id, archivedTables.contacts, c.req.valid('query')),
      200,
    );
  })
  .openapi(companies, async (c) => {
    const { id } = c.req.valid('param');
    await checkArchive(c.get('deps'), c.get('caller').tenantId, id);
    const { db } = c.get('deps');
    return c.json(
      await readArchivedRows<Company>(db, id, archivedTables.companies, c.req.valid('query')),
      200,
    );
  })
  .openapi(download, async (c) => {
    const { id } = c.req.valid('param');
    const query = c.req.valid('query');
    await checkArchive(c.get('deps'), c.get('caller').tenantId, id);
    const { body, next } = await exportArchive(c.get('deps'), id, query);
    // Said both ways: where something between us drops such headers, a file without its end must not pass for a whole one.
    c.header('x-last-part', String(next === null));
    if (next !== null) c.header('x-next-cursor', next);
    const isCsv = query.format === 'csv';
    c.header('content-type', isCsv ? 'text/csv; charset=utf-8' : 'application/x-ndjson');
    c.header('content-disposition', `attachment; filename="${query.table}.${query.format}"`);
    return c.body(body, 200) as never;
  })
  .openapi(policy, async (c) => c.json(await getPolicy(c.get('deps'), c.get('caller').tenantId), 200))
  .openapi(setPolicy, async (c) => {
    const draft = c.req.valid('json');
    const { tenantId } = c.get('caller');
    const answer = await answerOnce(c, async (db) => ({
      status: 200 as const,
      body: await putPolicy({ db }, tenantId, draft),
    }));
    return c.json(answer.body, 200);
  })
  .openapi(erase, async (c) => {
    const { email } = c.req.valid('json');
    const { tenantId } = c.get('caller');
    const answer = await answerOnce(c, async (db) => ({
      status: 202 as const,
      body: await startErasure({ db }, tenantId, email),
    }));
    // Nobody else has the address, so nobody else could go on.
    const task = { v: 1, task: 'erase', erasureId: answer.body.id, tenantId, email, times: 1 } as const;
    if (!(await begin(c, task))) {
      throw new AimError('the erasure was not begun; send the same request again', {
        code: 'unavailable',
        status: 503,
        retryable: true,
      });
    }
    return c.json(answer.body, 202);
  })
  .openapi(erasures, async (c) => {
    return c.json(await listErasures(c.get('deps'), c.get('caller').tenantId, c.req.valid('query')), 200);
  })
  .openapi(erasure, async (c) => {
    return c.json(await getErasure(c.get('deps'), c.get('caller').tenantId, c.req.valid('param').id), 200);
  });
