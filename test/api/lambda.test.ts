import type { Context } from 'aws-lambda';
import { createKey } from '../../core/keys/create.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aTenant } from '../support/factories.ts';

let db: TestDatabase;
let key: string;
beforeAll(async () => {
  db = await testDatabase();
  key = (await createKey({ db }, await aTenant(db), { name: 'url', scopes: ['read', 'write'] })).key;
  Object.assign(process.env, {
    DATABASE_URL: db.asApi.url,
    RESEARCH_QUEUE_URL: 'http://127.0.0.1:9/queue',
    DELIVERY_QUEUE_URL: 'http://127.0.0.1:9/delivery',
    PUBLIC_URL: 'http://127.0.0.1:9',
    AWS_REGION: 'eu-central-1',
    POWERTOOLS_LOG_LEVEL: 'SILENT',
  });
});
afterAll(() => db.close());

/** What a function URL hands to the Lambda. */
const anEvent = (method: string, path: string, body?: { text: string; isBase64Encoded: boolean }) => ({
  version: '2.0',
  routeKey: '$default',
  rawPath: path,
  rawQueryString: '',
  headers: {
    host: 'x.lambda-url.example',
    authorization: `Bearer ${key}`,
    'content-type': 'application/json',
  },
  requestContext: { http: { method, path, protocol: 'HTTP/1.1', sourceIp: '127.0.0.1', userAgent: '' } },
  body: body?.text ?? null,
  isBase64Encoded: body?.isBase64Encoded ?? false,
});

test('the handler answers function URL events, plain and base64, with the request id of Lambda', async () => {
  const { handler } = await import('../../lambdas/api.ts');
  const { deps } = await import('../../lambdas/deps.ts');
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
  await deps().db.close();
});
