import { createRoute } from '@hono/zod-openapi';
import { getContact, listContacts } from '../../core/contacts/list.ts';
import { upsertContacts } from '../../core/contacts/upsert.ts';
import { BulkReply } from '../../core/contract/bulk.ts';
import { Contact, ContactBulk, ContactPage, ContactQuery } from '../../core/contract/contacts.ts';
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
  path: '/v1/contacts',
  summary: 'List contacts, newest first',
  tags: ['Contacts'],
  ...reads('read'),
  request: { query: ContactQuery },
  responses: { 200: json(ContactPage, 'A page of contacts.'), ...rowProblems },
});

const get = createRoute({
  method: 'get',
  path: '/v1/contacts/{id}',
  summary: 'Get a contact',
  tags: ['Contacts'],
  ...readsCached('read'),
  request: { params: IdParam },
  responses: { 200: json(Contact, 'The contact.'), 304: unchanged, ...rowProblems },
});

const bulk = createRoute({
  method: 'post',
  path: '/v1/contacts/bulk',
  summary: 'Create or update up to 1,000 contacts, with a result for each row',
  tags: ['Contacts'],
  ...writes('write'),
  request: { headers: Repeat, body: jsonRequest(ContactBulk) },
  responses: { 200: json(BulkReply, 'What became of each row; a bad row fails alone.'), ...writeProblems },
});

export const contacts = router()
  .openapi(list, async (c) => {
    return c.json(await listContacts(c.get('deps'), c.get('caller').tenantId, c.req.valid('query')), 200);
  })
  .openapi(get, async (c) => {
    return c.json(await getContact(c.get('deps'), c.get('caller').tenantId, c.req.valid('param').id), 200);
  })
  .openapi(bulk, async (c) => {
    const request = c.req.valid('json');
    const { tenantId } = c.get('caller');
    const answer = await answerOnce(c, async (db) => ({
      status: 200 as const,
      body: await upsertContacts({ db }, tenantId, request),
    }));
    return c.json(answer.body, 200);
  });
