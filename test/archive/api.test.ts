import { archiveWork } from '../../core/archive/on-demand.ts';
import { ArchiveTask } from '../../core/archive/task.ts';
import { sql } from '../../core/db/sql.ts';
import { type Api, aClient, anApi, type Client, type Json } from '../api/client.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aProvider, someCompanies } from '../support/factories.ts';
import { tracesOf } from './traces.ts';

const t = sql('t');
let db: TestDatabase;
let api: Api;
let client: Client;
let logged: string[];
beforeEach(async () => {
  db = await testDatabase();
  api = anApi(db);
  client = await aClient(db, api);
  logged = [];
});
afterEach(() => db.close());

/** Runs the archive function for each task that was sent, and for those that it sends itself. */
async function work(options: { clock?: () => () => number; timesAtMost?: number } = {}): Promise<number> {
  let calls = 0;
  const log = (event: string, fields: object) => void logged.push(JSON.stringify([event, fields]));
  for (let task = api.tasks.shift(); task !== undefined; task = api.tasks.shift(), calls++) {
    // As it travels.
    const sent = ArchiveTask.parse(JSON.parse(JSON.stringify(task)));
    await archiveWork(
      {
        db: db.asWorker,
        log: { info: log, warn: log },
        clock: Date.now,
        sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
        invokeSelf: async (next) => void api.tasks.push(next),
      },
      sent,
      { remainingMs: options.clock?.() ?? (() => 600_000), timesAtMost: options.timesAtMost ?? 200 },
    );
  }
  return calls;
}
const aPerson = async (email: string) => {
  const campaignId = await client.campaign();
  const row = { fullName: 'Ann', email };
  const reply = await client.post('/v1/contacts/bulk', {
    campaignId,
    rows: [row, { fullName: 'Bob', email: 'bob@x.example' }],
  });
  expect(reply.status).toBe(200);
  return campaignId;
};

describe('an erasure', () => {
  const email = 'ann@known.example';

  test('is begun with 202, done by the function, and then shown as done, without the address anywhere', async () => {
    await aPerson(email);
    const begun = await client.post('/v1/erasures', { email: 'ANN@known.example' });
    expect([begun.status, begun.body.state]).toEqual([202, 'running']);
    await work();
    const done = await client.get(`/v1/erasures/${begun.body.id}`);
    expect(done.body).toMatchObject({ state: 'done', counts: { contacts: 1 } });
    expect((await client.get('/v1/erasures')).body.data).toEqual([done.body]);
    expect(await tracesOf(db, email)).toEqual([]);
    expect(JSON.stringify([api.logged, logged]).toLowerCase()).not.toContain(email);
    const names = (await client.get('/v1/contacts')).body.data.map(
      (contact: { fullName: string }) => contact.fullName,
    );
    expect(names).toEqual(['Bob']);
  });

  test('asked twice is one erasure while it runs, whatever the case; asked later, another', async () => {
    const first = await client.post('/v1/erasures', { email });
    const second = await client.post('/v1/erasures', { email: email.toUpperCase() });
    expect(second.body.id).toBe(first.body.id);
    await work();
    const third = await client.post('/v1/erasures', { email });
    expect(third.body.id).not.toBe(first.body.id);
  });

  test('that is longer than an invocation is gone on with, and is not gone on with for ever', async () => {
    await aPerson(email);
    const inSlices = () => {
      let questions = 3;
      return () => (questions-- > 0 ? 600_000 : 0);
    };
    await client.post('/v1/erasures', { email });
    expect(await work({ clock: inSlices })).toBeGreaterThan(2);
    expect((await client.get('/v1/erasures')).body.data[0].state).toBe('done');
    await client.post('/v1/erasures', { email });
    expect(await work({ clock: inSlices, timesAtMost: 2 })).toBe(2);
    expect(logged.at(-1)).toContain('too_many_invocations');
    await client.post('/v1/erasures', { email });
    expect(await work({ clock: () => () => 1_000 })).toBe(1);
    expect(logged.at(-1)).toContain('no_progress');
  });

  test("forgets nobody of another tenant, and is nobody else's to see", async () => {
    const other = await aClient(db, api);
    await aPerson(email);
    const begun = await other.post('/v1/erasures', { email });
    await work();
    expect((await other.get(`/v1/erasures/${begun.body.id}`)).body).toMatchObject({
      state: 'done',
      counts: {},
    });
    expect((await client.get(`/v1/erasures/${begun.body.id}`)).status).toBe(404);
    expect((await client.get('/v1/erasures')).body.data).toEqual([]);
    expect(await tracesOf(db, email)).toContain('contacts');
    // The same address has another hash with another tenant.
    await client.post('/v1/erasures', { email });
    const [hashes] = await db.query(t`select count(distinct email_hash) as different from erasures`);
    expect(hashes).toEqual({ different: 2 });
  });

  test('is refused with 503 when the function cannot be called, and goes on when asked again', async () => {
    await aPerson(email);
    const failing = anApi(db);
    failing.tasks.push = () => {
      throw new Error('no such function');
    };
    const unlucky = await aClient(db, failing, { tenantId: client.tenantId });
    const refused = await unlucky.post('/v1/erasures', { email });
    expect([refused.status, refused.body.code]).toEqual([503, 'unavailable']);
    const again = await client.post('/v1/erasures', { email });
    await work();
    expect((await client.get(`/v1/erasures/${again.body.id}`)).body.counts).toEqual({ contacts: 1 });
  });
});

test('what asks twice is done once, and told of once', async () => {
  const id = await aPerson('ann@known.example');
  const ask = async (action: string, key: string) => {
    const reply = await client.post(`/v1/campaigns/${id}/${action}`, {}, { 'idempotency-key': key });
    expect(reply.status).toBe(202);
    await work();
  };
  await ask('archive', 'one');
  await ask('archive', 'one');
  await ask('archive', 'another');
  await ask('restore', 'two');
  await ask('restore', 'two');
  // The first request of all comes once more.
  await ask('archive', 'one');
  expect((await client.get(`/v1/campaigns/${id}`)).body).toMatchObject({ archived: false, contactsCount: 2 });
  const events = (await client.get('/v1/archives/events')).body.data;
  expect(events.map(({ action, outcome, rows }: Json) => [action, outcome, rows])).toEqual([
    ['restore', 'done', 2],
    ['archive', 'done', 2],
  ]);
});

describe('cancelling open jobs with an Idempotency-Key', () => {
  const jobs = (campaign: string) =>
    db.query(sql('t')`
      select b.status as batch, j.status as job, count(*) from research_batches b
      join research_jobs j on j.batch_id = b.id where b.campaign_id = ${campaign} group by 1, 2`);
  const archive = (campaign: string) =>
    client.post(
      `/v1/campaigns/${campaign}/archive`,
      { cancelOpenJobs: true },
      { 'idempotency-key': campaign },
    );
  async function aDispatch(campaign: string, more: Json = {}): Promise<void> {
    const request = { provider: 'a-provider', all: true, ...more };
    expect((await client.post(`/v1/campaigns/${campaign}/research`, request)).status).toBe(202);
  }
  async function aCampaign(): Promise<string> {
    const campaign = await client.campaign();
    await aProvider(db, client.tenantId);
    await someCompanies(db, client.tenantId, campaign, 3);
    return campaign;
  }

  test('holds though the request is refused until who waits for a batch is resumed', async () => {
    const campaign = await aCampaign();
    await aDispatch(campaign, { resumeUrl: 'https://n8n.example/webhook-waiting/1' });
    expect(await archive(campaign)).toMatchObject({ status: 409, body: { code: 'resumes_due' } });
    expect(await jobs(campaign)).toEqual([{ batch: 'cancelled', job: 'cancelled', count: 3 }]);
    // Resumed.
    await db.query(t`update research_batches set resume_state = 'done', resume_at = null, resume_feed_at = null
      where resume_state = 'due'`);
    expect(await archive(campaign)).toMatchObject({ status: 202, body: { state: 'archiving' } });
  });

  test('is not done again by a repeat, nor by another request under the same key', async () => {
    const campaign = await aCampaign();
    const first = await archive(campaign);
    await work();
    await client.post(`/v1/campaigns/${campaign}/restore`, {});
    await work();
    await aDispatch(campaign);
    const repeat = await archive(campaign);
    expect([repeat.status, repeat.body]).toEqual([202, first.body]);
    expect(repeat.headers.get('idempotency-replayed')).toBe('true');
    const body = ' {"cancelOpenJobs":true}';
    const other = await client.post(`/v1/campaigns/${campaign}/archive`, body, {
      'idempotency-key': campaign,
    });
    expect(other).toMatchObject({ status: 409, body: { code: 'idempotency_key_reused' } });
    expect(await jobs(campaign)).toEqual([{ batch: 'open', job: 'queued', count: 3 }]);
  });

  test('that takes too long for one request says how much is left, and when to ask again', async () => {
    const campaign = await aCampaign();
    await aDispatch(campaign);
    // Each look at the clock is a minute later.
    let minutes = 0;
    jest.spyOn(Date, 'now').mockImplementation(() => minutes++ * 60_000);
    const reply = await archive(campaign);
    jest.restoreAllMocks();
    expect(reply).toMatchObject({ status: 503, body: { code: 'cancelling' } });
    expect(reply.body.detail).toContain('3 open jobs');
    expect(reply.headers.get('retry-after')).toBe('5');
    expect((await archive(campaign)).status).toBe(202);
  });
});

test('a campaign is closed and opened again by hand', async () => {
  const id = await client.campaign();
  const closed = await client.send('PATCH', `/v1/campaigns/${id}`, { closed: true });
  expect(closed.body).toMatchObject({ name: 'Autumn', closedAt: expect.stringMatching(/Z$/) });
  const renamed = await client.send('PATCH', `/v1/campaigns/${id}`, { name: 'Winter' });
  expect(renamed.body).toMatchObject({ name: 'Winter', closedAt: closed.body.closedAt });
  expect((await client.send('PATCH', `/v1/campaigns/${id}`, { closed: false })).body.closedAt).toBeNull();
  expect((await client.send('PATCH', `/v1/campaigns/${id}`, {})).status).toBe(400);
});
