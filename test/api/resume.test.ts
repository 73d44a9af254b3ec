import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aTenant, aWorld } from '../support/factories.ts';
import { type Api, aClient, anApi, type Client } from './client.ts';

let db: TestDatabase;
let api: Api;
let client: Client;
let campaignId: string;
let companyIds: string[];
const resumeUrl = 'https://n8n.example/webhook-waiting/17?signature=s%2Bgn%20ed+x';

beforeAll(async () => {
  db = await testDatabase();
  api = anApi(db);
});
beforeEach(async () => {
  const world = await aWorld(db, { companies: 2 });
  ({ campaignId, companyIds } = world);
  client = await aClient(db, api, { tenantId: world.tenantId });
  api.deliveries.length = 0;
});
afterAll(() => db.close());

const research = (body: object, headers?: Record<string, string>) =>
  client.post(`/v1/campaigns/${campaignId}/research`, { provider: 'a-provider', ...body }, headers);
async function stored(batchId: string) {
  const [row] = await db.query(sql('test.stored')`
    select resume_url, resume_state, resume_by - now() between interval '59 minutes' and interval '61 minutes' as in_an_hour
    from research_batches where id = ${batchId}`);
  return row;
}

test('the URL is kept as it came, and shown nowhere', async () => {
  const reply = await research({ companyIds, resumeUrl, resumeWithinSeconds: 3600 });
  expect(reply.status).toBe(202);
  const { batchId } = reply.body;
  expect(await stored(batchId)).toEqual({
    resume_url: resumeUrl,
    resume_state: 'waiting',
    in_an_hour: true,
  });
  const shown = [
    reply.body,
    (await client.get(`/v1/batches/${batchId}`)).body,
    (await client.get('/v1/batches')).body,
    (await client.get('/v1/changes?after=')).body,
  ];
  expect(shown[1]).toMatchObject({ resume: { state: 'waiting', attempts: 0, lastError: null } });
  expect(JSON.stringify([shown, api.logged, api.messages, api.deliveries])).not.toMatch(
    /n8n\.example|signature/,
  );
});

test('a batch for which nobody waits says so', async () => {
  const { batchId } = (await research({ companyIds })).body;
  expect((await client.get(`/v1/batches/${batchId}`)).body.resume).toBeNull();
  expect(await stored(batchId)).toMatchObject({ resume_url: null, resume_state: 'none' });
});

test.each([
  ['another scheme', 'ftp://n8n.example/', 'invalid_url'],
  ['no scheme', 'n8n.example/webhook', 'invalid_url'],
  ['a password', 'https://user:secret@n8n.example/', 'credentials_in_url'],
  ['more than 2,000 characters', `https://n8n.example/${'x'.repeat(2000)}`, 'too_long'],
])('a URL with %s is refused by name', async (_, url, code) => {
  const reply = await research({ companyIds, resumeUrl: url });
  expect(reply).toMatchObject({ status: 400, body: { errors: [{ path: 'resumeUrl', code }] } });
  expect(JSON.stringify(reply.body)).not.toContain('secret');
});

describe('a URL that can never be asked', () => {
  const nowhere = [
    'http://localhost:5678/webhook-waiting/1?signature=x',
    'http://n8n.localhost./webhook-waiting/1',
    'http://192.168.1.10:5678/webhook-waiting/1',
    'http://0x7f.1/webhook-waiting/1',
    'http://[::1]:5678/webhook-waiting/1',
    'http://8.8.8.8:6379/webhook-waiting/1',
  ];

  test.each(nowhere)('is refused before anything is paid: %s', async (url) => {
    const strict = await aClient(db, anApi(db, { allowedNetworks: [] }), { tenantId: client.tenantId });
    const request = { provider: 'a-provider', companyIds, resumeUrl: url };
    const reply = await strict.post(`/v1/campaigns/${campaignId}/research`, request);
    expect(reply).toMatchObject({
      status: 400,
      body: { errors: [{ path: 'resumeUrl', code: 'address_refused' }] },
    });
    expect(reply.body.detail).not.toMatch(/signature/);
    expect((await strict.get('/v1/batches')).body.data).toEqual([]);
  });

  test('is taken where its network is allowed, and so is a name that only DNS knows', async () => {
    const allowedNetworks = ['127.0.0.0/8', '::1/128', '192.168.0.0/16'];
    const open = await aClient(db, anApi(db, { allowedNetworks }), { tenantId: client.tenantId });
    for (const url of [...nowhere.slice(0, 5), 'http://n8n:5678/webhook-waiting/1']) {
      const request = { provider: 'a-provider', companyIds, resumeUrl: url };
      expect((await open.post(`/v1/campaigns/${campaignId}/research`, request)).status).toBe(202);
    }
  });
});

test('a limit without a URL is refused', async () => {
  expect(await research({ companyIds, resumeWithinSeconds: 60 })).toMatchObject({
    status: 400,
    body: { errors: [{ path: 'resumeWithinSeconds', code: 'resume_url_missing' }] },
  });
});

test('a batch of several calls keeps the first URL; another one is a conflict that changes nothing', async () => {
  const [one, two] = companyIds;
  const { batchId } = (await research({ companyIds: [one], final: false })).body;
  const add = (more: object) => research({ companyIds: [two], batchId, final: false, ...more });
  expect((await add({ resumeUrl, resumeWithinSeconds: 3600 })).status).toBe(202);
  expect((await add({ resumeUrl, resumeWithinSeconds: 60 })).status).toBe(202);
  expect((await add({})).status).toBe(202);
  const other = await add({ resumeUrl: 'https://other.example/?signature=2', final: true });
  expect(other).toMatchObject({ status: 409, body: { code: 'resume_url_mismatch' } });
  expect(JSON.stringify(other.body)).not.toMatch(/other\.example|n8n\.example/);
  expect(await stored(batchId)).toMatchObject({ resume_url: resumeUrl, in_an_hour: true });
  expect((await client.get(`/v1/batches/${batchId}`)).body).toMatchObject({ sealed: false });
});

test('a dispatch with nothing to do resumes who waits at once', async () => {
  const domains = ['nobody.example'];
  const { body } = await research({ domains, resumeUrl });
  expect(body).toMatchObject({ accepted: 0, rejected: [{ code: 'unknown_company' }] });
  expect((await client.get(`/v1/batches/${body.batchId}`)).body).toMatchObject({
    status: 'completed',
    resume: { state: 'due' },
  });
  expect(api.deliveries).toMatchObject([{ body: { type: 'resume', batchIds: [body.batchId] } }]);
});

test('a repeat under the same key sends no second resume', async () => {
  const headers = { 'idempotency-key': 'once' };
  const request = { domains: ['nobody.example'], resumeUrl };
  await research(request, headers);
  await research(request, headers);
  expect(api.deliveries).toHaveLength(1);
});

test.each([
  ['was woken at the limit', "resume_state = 'done'"],
  ['could not be woken', "resume_state = 'failed', resume_error = 'gone', resume_attempts = 9"],
])('whoever adds to a batch of which somebody %s may wait for its end', async (_, asked) => {
  const { batchId } = (await research({ companyIds: companyIds.slice(0, 1), resumeUrl, final: false })).body;
  const text = `update research_batches set ${asked} where id = $1`;
  await db.query({ statement: 't', text, values: [batchId] });
  const again = `${resumeUrl}again`;
  const reply = await research({ companyIds, batchId, resumeUrl: again, resumeWithinSeconds: 60 });
  expect(reply.status).toBe(202);
  expect((await client.get(`/v1/batches/${batchId}`)).body.resume).toEqual({
    state: 'waiting',
    attempts: 0,
    lastError: null,
  });
  expect(await stored(batchId)).toMatchObject({ resume_url: again });
});

const due = "resume_state = 'due', resume_at = now(), resume_feed_at = now()";

test('who is being woken at this moment may wait anew, and nobody else in his place: he may have to be asked again', async () => {
  const { batchId } = (await research({ companyIds: companyIds.slice(0, 1), resumeUrl, final: false })).body;
  const text = `update research_batches set ${due}, resume_attempts = 1, resume_lease_id = uuidv7(),
    resume_lease_until = now() + interval '1 minute' where id = $1`;
  await db.query({ statement: 't', text, values: [batchId] });
  const other = await research({ companyIds, batchId, resumeUrl: `${resumeUrl}other`, final: false });
  expect(other).toMatchObject({ status: 409, body: { code: 'resume_url_mismatch' } });
  expect(await stored(batchId)).toMatchObject({ resume_url: resumeUrl, resume_state: 'due' });
  const same = await research({ companyIds, batchId, resumeUrl, resumeWithinSeconds: 3600, final: false });
  expect(same.status).toBe(202);
  expect(await stored(batchId)).toMatchObject({ resume_state: 'waiting', in_an_hour: true });
});

test('a wait that is due and not asked yet stays as it is', async () => {
  const { batchId } = (await research({ companyIds: companyIds.slice(0, 1), resumeUrl, final: false })).body;
  await db.query({
    statement: 't',
    text: `update research_batches set ${due} where id = $1`,
    values: [batchId],
  });
  expect((await research({ companyIds, batchId, resumeUrl, final: false })).status).toBe(202);
  expect((await client.get(`/v1/batches/${batchId}`)).body.resume.state).toBe('due');
  const other = await research({ companyIds, batchId, resumeUrl: `${resumeUrl}other` });
  expect(other).toMatchObject({ status: 409, body: { code: 'resume_url_mismatch' } });
});

test('a dry run stores nothing', async () => {
  const reply = await research({ companyIds, resumeUrl, dryRun: true });
  expect(reply).toMatchObject({ status: 202, body: { batchId: null } });
});

test('who waits for a batch is nobody else’s to see or to set', async () => {
  const { batchId } = (await research({ companyIds: companyIds.slice(0, 1), resumeUrl, final: false })).body;
  const other = await aClient(db, api, { tenantId: await aTenant(db) });
  expect((await other.get(`/v1/batches/${batchId}`)).status).toBe(404);
  const url = 'https://thief.example/';
  const asked = { provider: 'a-provider', companyIds, batchId, resumeUrl: url };
  expect((await other.post(`/v1/campaigns/${campaignId}/research`, asked)).status).toBe(404);
  expect(await stored(batchId)).toMatchObject({ resume_url: resumeUrl });
});
