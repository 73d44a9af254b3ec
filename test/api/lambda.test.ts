import type { Context } from 'aws-lambda';
import { sql } from '../../core/db/sql.ts';
import { createKey } from '../../core/keys/create.ts';
import { archive } from '../archive/archived.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant, someCompanies } from '../support/factories.ts';

let db: TestDatabase;
let key: string;
let tenantId: string;
beforeAll(async () => {
  db = await testDatabase();
  tenantId = await aTenant(db);
  key = (await createKey({ db }, tenantId, { name: 'url', scopes: ['read', 'write'] })).key;
  Object.assign(process.env, {
    DATABASE_URL: db.asApi.url,
    RESEARCH_QUEUE_URL: 'http://127.0.0.1:9/queue',
    DELIVERY_QUEUE_URL: 'http://127.0.0.1:9/delivery',
    PUBLIC_URL: 'http://127.0.0.1:9',
    AWS_REGION: 'eu-central-1',
    POWERTOOLS_LOG_LEVEL: 'SILENT',
  });
});
afterAll(async () => {
  const { deps } = await import('../../lambdas/deps.ts');
  await deps().db.close();
  await db.close();
});

/** What a function URL hands to the Lambda. */
const anEvent = (method: string, url: string, body?: { text: string; isBase64Encoded: boolean }) => {
  const [path = '', query = ''] = url.split('?');
  return {
    version: '2.0',
    routeKey: '$default',
    rawPath: path,
    rawQueryString: query,
    headers: {
      host: 'x.lambda-url.example',
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
    },
    requestContext: { http: { method, path, protocol: 'HTTP/1.1', sourceIp: '127.0.0.1', userAgent: '' } },
    body: body?.text ?? null,
    isBase64Encoded: body?.isBase64Encoded ?? false,
  };
};

test('the handler answers function URL events, plain and base64, with the request id of Lambda', async () => {
  const { handler } = await import('../../lambdas/api.ts');
  const context = { awsRequestId: 'lambda-1' } as Context;
  const call = async (...event: Parameters<typeof anEvent>) => {
    const answer = await handler(anEvent(...event) as never, context);
    expect(answer.isBase64Encoded).toBe(false);
    return { status: answer.statusCode, headers: answer.headers, body: JSON.parse(answer.body) };
  };
  const made = await call('POST', '/v1/campaigns', { text: '{"name":"Ångström"}', isBase64Encoded: false });
  expect(made).toMatchObject({
    status: 201,
    headers: { 'x-request-id': 'lambda-1' },
    body: { name: 'Ångström' },
  });
  const text = Buffer.from('{"name":"Zürich"}').toString('base64');
  expect((await call('POST', '/v1/campaigns', { text, isBase64Encoded: true })).body.name).toBe('Zürich');
  const missing = await call('GET', '/v1/nothing');
  expect(missing).toMatchObject({
    status: 404,
    headers: { 'content-type': 'application/problem+json' },
    body: { code: 'not_found', requestId: 'lambda-1' },
  });
});

test('a body says nothing in a GET', async () => {
  const { handler } = await import('../../lambdas/api.ts');
  const event = anEvent('GET', '/v1/me', { text: '{"a":1}', isBase64Encoded: false });
  const answer = await handler(event as never, { awsRequestId: 'lambda-2' } as Context);
  expect([answer.statusCode, answer.headers?.['x-request-id']]).toEqual([200, 'lambda-2']);
  expect(JSON.parse(answer.body)).toMatchObject({ tenantId });
});

describe('the JSON of an answer is at most what Lambda passes on', () => {
  const limitBytes = 6_291_556;
  async function call(method: string, url: string, body?: unknown) {
    const { handler } = await import('../../lambdas/api.ts');
    const text = body === undefined ? undefined : { text: JSON.stringify(body), isBase64Encoded: false };
    const answer = await handler(anEvent(method, url, text) as never, {} as Context);
    expect(answer.statusCode).toBe(200);
    return { bytes: Buffer.byteLength(JSON.stringify(answer)), text: answer.body };
  }

  test('a page of contacts with many short attributes', async () => {
    const campaignId = await aCampaign(db, tenantId);
    await db.query(sql('t')`
      insert into contacts (user_id, campaign_id, attributes)
      select ${tenantId}, ${campaignId}, (select jsonb_object_agg('c' || i, 'y') from generate_series(1, 100) i)
      from generate_series(1, 5000)`);
    const { bytes, text } = await call('GET', `/v1/contacts?campaignId=${campaignId}&limit=5000`);
    expect(bytes).toBeLessThan(limitBytes);
    expect(JSON.parse(text)).toMatchObject({ data: expect.any(Array), next: expect.any(String) });
  });

  test('a page, a search and an archive of findings that hold JSON as text', async () => {
    const campaignId = await aCampaign(db, tenantId);
    const ids = await someCompanies(db, tenantId, campaignId, 1000);
    await db.query(sql('t')`
      insert into company_research (user_id, campaign_id, company_id, kind, findings)
      select ${tenantId}, ${campaignId}, id, 'company', jsonb_build_object('raw', repeat('{"a":"b"},', 600))
      from unnest(${ids}::uuid[]) id`);
    const lists = ['', '&search=company', '&kind=company'];
    for (const list of lists) {
      const { bytes } = await call('GET', `/v1/research?campaignId=${campaignId}&limit=1000${list}`);
      expect(bytes).toBeLessThan(limitBytes);
    }
    await archive(db, tenantId, campaignId);
    for (const format of ['ndjson', 'csv']) {
      const path = `/v1/archives/${campaignId}/export?table=research&format=${format}`;
      expect((await call('GET', path)).bytes).toBeLessThan(limitBytes);
    }
  });

  test('a part of an export of plain text', async () => {
    const campaignId = await aCampaign(db, tenantId);
    const ids = await someCompanies(db, tenantId, campaignId, 4000);
    await db.query(sql('t')`
      insert into company_research (user_id, campaign_id, company_id, kind, summary)
      select ${tenantId}, ${campaignId}, id, 'company', repeat('plain text ', 150) from unnest(${ids}::uuid[]) id`);
    await archive(db, tenantId, campaignId);
    const part = await call('GET', `/v1/archives/${campaignId}/export?table=research&format=ndjson`);
    expect(part.bytes).toBeLessThan(limitBytes);
    // As text: base64 takes a third more.
    expect(part.text).toMatch(/^\{"id":/);
  });

  test('a bulk write of rows with many unknown fields, whose first ones are named', async () => {
    const campaignId = await aCampaign(db, tenantId);
    const extra = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`c${n}`, 1]));
    const rows = Array.from({ length: 1000 }, (_, n) => ({ name: `N${n}`, ...extra }));
    const { bytes, text } = await call('POST', '/v1/companies/bulk', { campaignId, rows });
    expect(bytes).toBeLessThan(limitBytes);
    const [first] = JSON.parse(text).results;
    expect(first.errors.map((error: { path: string }) => error.path)).toEqual(
      [0, 1, 2, 3, 4].map((n) => `rows[0].c${n}`),
    );
    expect(first.moreErrors).toBe(95);
  });
});
