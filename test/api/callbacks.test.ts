import { randomBytes, randomUUID } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { sql } from '../../core/db/sql.ts';
import { claim } from '../../core/research/claim.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';
import { type Api, aClient, anApi, type Client } from './client.ts';

let db: TestDatabase;
let api: Api;
let client: Client;
let batchId: string;
let askId: string;
let secret: string;
let jobs: { jobId: string; attemptId: string }[];

/** A batch of two companies, dispatched over the API and claimed as one ask. */
async function anAsk() {
  const world = await aWorld(db, { companies: 2 });
  client = await aClient(db, api, {
    tenantId: world.tenantId,
    scopes: ['read', 'write', 'research', 'results:write'],
  });
  api.messages.length = 0;
  const request = { provider: world.provider.name, companyIds: world.companyIds };
  const reply = await client.post(`/v1/campaigns/${world.campaignId}/research`, request);
  expect(reply).toMatchObject({
    status: 202,
    body: { accepted: 2, deduplicated: 0, rejected: [], status: 'open' },
  });
  batchId = reply.body.batchId;
  const ids = api.messages.flatMap((message) => message.body.jobIds);
  expect(ids).toHaveLength(2);
  const [ask] = await claim(db, ids, { leaseSeconds: 60 });
  askId = ask?.id ?? '';
  secret = world.provider.secret;
  jobs = (ask?.jobs ?? []).map((job) => ({ jobId: job.id, attemptId: job.attempt_id }));
}

function sign(body: string, { at = new Date(), with: key = secret }: { at?: Date; with?: string } = {}) {
  const id = `msg_${randomUUID()}`;
  return {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(key).sign(id, at, body),
  };
}

const send = (body: string, headers: Record<string, string>, ask = askId) =>
  api.app.request(`/v1/callbacks/${ask}`, { method: 'POST', body, headers });

beforeAll(async () => {
  db = await testDatabase();
  api = anApi(db);
});
beforeEach(anAsk);
afterAll(() => db.close());

const completed = () =>
  JSON.stringify({
    results: jobs.map((job) => ({
      ...job,
      status: 'completed',
      research: { summary: 'They make anvils.', employees: 7 },
      prospects: [{ fullName: 'Ada', email: 'ada@acme.example' }],
    })),
  });

test('signed results close the jobs and the batch, and are read back', async () => {
  const body = completed();
  const response = await send(body, sign(body));
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({ applied: 2, stale: 0, rejected: [] });
  expect((await client.get(`/v1/batches/${batchId}`)).body).toMatchObject({
    status: 'completed',
    counts: { completed: 2 },
  });
  expect((await client.get('/v1/research')).body.data).toHaveLength(2);
  expect((await client.get('/v1/prospects')).body.data[0]).toMatchObject({ email: 'ada@acme.example' });

  const again = await send(body, sign(body));
  expect(await again.json()).toEqual({ applied: 0, stale: 2, rejected: [] });
});

test('a result that is not readable or was not asked fails alone', async () => {
  const [first] = jobs;
  const results = [
    { ...first, status: 'completed' },
    7,
    { jobId: randomUUID(), attemptId: randomUUID(), status: 'processing' },
  ];
  const body = JSON.stringify({ results });
  const reply = await (await send(body, sign(body))).json();
  expect(reply).toMatchObject({ applied: 1, rejected: [{ index: 1 }, { index: 2, code: 'not_asked' }] });
});

test.each([
  ['no signature', () => ({ 'content-type': 'application/json' }), 0],
  ['an empty signature', (body: string) => ({ ...sign(body), 'webhook-signature': 'v1' }), 1],
  ['a signature of another body', () => sign('{}'), 1],
  [
    'the secret of another provider',
    (body: string) => sign(body, { with: `whsec_${Buffer.alloc(24).toString('base64')}` }),
    1,
  ],
  ['a timestamp of ten minutes ago', (body: string) => sign(body, { at: new Date(Date.now() - 600_000) }), 1],
  [
    'a timestamp of ten minutes ahead',
    (body: string) => sign(body, { at: new Date(Date.now() + 600_000) }),
    1,
  ],
])(
  '%s is a 401 that changes nothing and runs at most the look-up of the ask',
  async (_, headersOf, statements) => {
    const body = completed();
    api.statements.length = 0;
    const response = await send(body, headersOf(body));
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ code: 'invalid_signature' });
    expect(api.statements).toEqual(statements === 0 ? [] : ['callback.find']);
    expect((await client.get(`/v1/batches/${batchId}`)).body.counts.processing).toBe(2);
  },
);

test('an unknown ask and one that is no id look like a wrong signature', async () => {
  const body = completed();
  const unknown = await send(body, sign(body), randomUUID());
  const wrong = await send(body, sign('{}'));
  const { requestId: _, ...unknownProblem } = (await unknown.json()) as Record<string, unknown>;
  const { requestId: __, ...wrongProblem } = (await wrong.json()) as Record<string, unknown>;
  expect(unknownProblem).toEqual(wrongProblem);
  expect((await send(body, sign(body), 'x')).status).toBe(401);
});

test('a key needs the scope results:write and the tenant of the ask', async () => {
  const body = JSON.parse(completed());
  const path = `/v1/callbacks/${askId}`;
  const reader = await aClient(db, api, { tenantId: client.tenantId });
  expect((await reader.post(path, body)).status).toBe(403);
  const stranger = await aClient(db, api, { scopes: ['results:write'] });
  expect((await stranger.post(path, body)).status).toBe(404);
  expect((await client.post(path, body)).body).toMatchObject({ applied: 2 });
});

test('a signed body that is not JSON, or has unknown fields, is a 400', async () => {
  expect((await send('{', sign('{'))).status).toBe(400);
  const extra = JSON.stringify({ results: [{}], more: 1 });
  expect((await send(extra, sign(extra))).status).toBe(400);
});

test('dispatch by domain rejects unknown companies one by one, and a dry run changes nothing', async () => {
  const { body: company } = await client.get('/v1/companies?limit=1&order=asc');
  const { campaignId, domain } = company.data[0];
  const path = `/v1/campaigns/${campaignId}/research`;
  const request = { provider: 'a-provider', domains: [`https://www.${domain}/x`, 'unknown.example', domain] };
  const dry = await client.post(path, { ...request, dryRun: true });
  expect(dry).toMatchObject({
    status: 202,
    body: {
      batchId: null,
      accepted: 1,
      deduplicated: 1,
      rejected: [{ path: 'domains[1]', code: 'unknown_company' }],
    },
  });
  expect((await client.get('/v1/batches')).body.data).toHaveLength(1);
  expect((await client.post(path, { ...request, provider: 'none' })).status).toBe(404);
});

describe('after its provider got another secret', () => {
  const another = () => `whsec_${randomBytes(24).toString('base64')}`;
  async function change(with_ = another()): Promise<string> {
    const draft = { kind: 'webhook', url: 'https://provider.example/', secret: with_ };
    expect((await client.put('/v1/providers/a-provider', draft)).status).toBe(200);
    return with_;
  }
  const answers = async (key: string) => {
    const body = '{"results":[{}]}';
    return (await send(body, sign(body, { with: key }))).status;
  };

  test('an ask from before takes results signed with either, and no others', async () => {
    const present = await change();
    expect([await answers(secret), await answers(present), await answers(another())]).toEqual([
      200, 200, 401,
    ]);
  });

  test('an ask from then on takes the present one only', async () => {
    await change();
    await db.query(
      sql('t')`update research_attempts set started_at = clock_timestamp() where ask_id = ${askId}`,
    );
    expect(await answers(secret)).toBe(401);
  });

  test('the former one is out once the lease is over, or at a second change', async () => {
    const present = await change();
    await db.query(sql('t')`update research_providers
      set secret_changed_at = secret_changed_at - make_interval(secs => lease_seconds) where secret = ${present}`);
    await db.query(
      sql(
        't',
      )`update research_attempts set started_at = started_at - interval '1 day' where ask_id = ${askId}`,
    );
    expect([await answers(secret), await answers(present)]).toEqual([401, 200]);
    await change();
    expect([await answers(secret), await answers(present)]).toEqual([401, 200]);
  });

  test('another change of the provider keeps the former one', async () => {
    const present = await change();
    await db.query(
      sql('t')`update research_providers set weight = 2, secret = secret where secret = ${present}`,
    );
    expect(await answers(secret)).toBe(200);
  });
});
