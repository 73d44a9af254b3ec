import { deleteCampaign } from '../../core/campaigns/delete.ts';
import { sql } from '../../core/db/sql.ts';
import { guardedAgent } from '../../core/http/guard.ts';
import { endBatches } from '../../core/research/batches.ts';
import { claim } from '../../core/research/claim.ts';
import { settle } from '../../core/research/settle.ts';
import { sweep } from '../../core/research/sweep.ts';
import { claimResumes } from '../../core/resumes/claim.ts';
import { deliverResumes } from '../../core/resumes/deliver.ts';
import { sendDueResumes } from '../../core/resumes/send.ts';
import { awaitEnd } from '../../core/resumes/set.ts';
import { settleResumes } from '../../core/resumes/settle.ts';
import { aConveyor } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';
import { completeAll, fakeProvider } from '../support/provider.ts';
import { aWaiting } from '../support/waiting.ts';

let db: TestDatabase;
let conveyor: ReturnType<typeof aConveyor>;
const ends: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  db = await testDatabase({ max: 4 });
});
beforeEach(() => {
  conveyor = aConveyor(db);
});
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  await db.query(sql('test.forget')`delete from research_batches`);
  await conveyor.close();
});
afterAll(() => db.close());
const plenty = { remainingMs: () => 60_000 };

interface Row {
  status: string;
  state: string;
  attempts: number;
  error: string | null;
  gone: number;
  delay: number;
  lease: string | null;
}
const rowOf = async (batchId: string) => {
  const [row] = await db.query<Row>(sql('test.resume')`
    select status, resume_state as state, resume_attempts as attempts, resume_error as error,
      resume_gone_count as gone, resume_lease_id as lease,
      extract(epoch from resume_at - now())::float8 as delay from research_batches where id = ${batchId}`);
  return row as Row;
};
const delivering = (over: object = {}) => ({ ...conveyor.deps, random: () => 1, ...over });
/** What is on the delivery queue is delivered, delays aside. */
async function deliver({ makeDue = false } = {}) {
  const ids = conveyor.deliveries.splice(0).flatMap(({ body }) => body.batchIds);
  if (makeDue) {
    await db.query(sql('test.due')`
      update research_batches set resume_at = least(resume_at, now()) where id = any(${ids}::uuid[])`);
  }
  await deliverResumes(delivering(), ids, plenty);
}

/** A batch of three companies that `waiting` waits for, of which all jobs ended, save where told otherwise. */
async function aBatch(
  url: string,
  { drained = true, ...more }: { drained?: boolean; resumeWithinSeconds?: number } = {},
) {
  const provider = await fakeProvider((ask) => completeAll(ask));
  ends.push(() => provider.close());
  const world = await aWorld(db, { companies: 3, url: provider.url });
  provider.trust(world.provider.secret);
  const batchId = await conveyor.start(world.tenantId, world.campaignId, 'a-provider', {
    resumeUrl: url,
    ...more,
  });
  if (drained) await conveyor.drain();
  return { ...world, batchId };
}
async function waits(...respond: Parameters<typeof aWaiting>) {
  const waiting = await aWaiting(...respond);
  ends.push(() => waiting.close());
  return waiting;
}

test('the end of a batch asks its URL once, query and all, with how it ended', async () => {
  const waiting = await waits();
  const { batchId, campaignId, tenantId } = await aBatch(waiting.url);
  expect(conveyor.deliveries).toEqual([
    { body: { v: 1, type: 'resume', batchIds: [batchId] }, delaySeconds: 0, groupId: tenantId },
  ]);
  const message = conveyor.deliveries[0];
  await deliver();
  expect(waiting.resumed).toHaveLength(1);
  expect(waiting.resumed[0]).toMatchObject({
    path: '/webhook-waiting/17?signature=s%2Bgn%20ed+x',
    headers: { 'content-type': 'application/json', 'webhook-id': batchId },
    body: {
      type: 'batch.ended',
      batchId,
      campaignId,
      kind: 'company',
      status: 'completed',
      total: 3,
      counts: { queued: 0, processing: 0, completed: 3, failed: 0, cancelled: 0 },
      endedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    },
  });
  expect(await rowOf(batchId)).toMatchObject({ state: 'done', attempts: 1, error: null, lease: null });

  if (message) conveyor.deliveries.push(message);
  await deliver();
  await sweep(conveyor.deps, plenty);
  await deliver();
  expect(waiting.resumed).toHaveLength(1);
});

test('of two deliveries of a message at once, one asks', async () => {
  const waiting = await waits(() => new Promise((resolve) => setTimeout(() => resolve(200), 200)));
  const { batchId } = await aBatch(waiting.url);
  await Promise.all([1, 2, 3, 4].map(() => deliverResumes(delivering(), [batchId], plenty)));
  expect(waiting.resumed).toHaveLength(1);
  expect(await rowOf(batchId)).toMatchObject({ state: 'done', attempts: 1 });
});

test('two who close the last two jobs at once make one resume due', async () => {
  const waiting = await waits();
  const { batchId } = await aBatch(waiting.url, { drained: false });
  const ids = conveyor.sent.splice(0).flatMap(({ body }) => body.jobIds);
  const asks = await claim(db, ids, { leaseSeconds: 60 });
  const outcomes = asks.flatMap(({ jobs }) =>
    jobs.map((job) => ({
      jobId: job.id,
      attemptId: job.attempt_id,
      type: 'failed' as const,
      errorCode: 'x',
      errorMessage: 'x',
    })),
  );
  await settle(db, outcomes);
  const ended = await Promise.all([1, 2, 3].map(() => endBatches(db.asWorker, [batchId])));
  expect(ended.flat()).toMatchObject([{ id: batchId, resumes: true }]);
});

test('409 is asked again, sooner first: the execution was not asleep yet', async () => {
  const waiting = await waits((count) => (count <= 3 ? 409 : 200));
  const { batchId } = await aBatch(waiting.url);
  const delays: (number | undefined)[] = [];
  for (let round = 0; round < 4; round++) {
    await deliver({ makeDue: true });
    delays.push(conveyor.deliveries[0]?.delaySeconds);
  }
  expect(delays).toEqual([1, 2, 4, undefined]);
  expect(waiting.resumed).toHaveLength(4);
  expect(await rowOf(batchId)).toMatchObject({ state: 'done', attempts: 4, error: null });
});

const unknown = { status: 404, body: '{"code":404,"message":"The execution \\"17\\" does not exist."}' };

test.each([
  ['the 404 with which n8n says that there is no such execution', unknown],
  ['410', { status: 410, body: '' }],
])('%s is believed after several tries over some minutes', async (_, said) => {
  const waiting = await waits(() => said);
  const { batchId } = await aBatch(waiting.url);
  let seconds = 0;
  let rounds = 0;
  while (conveyor.deliveries.length > 0) {
    seconds += conveyor.deliveries[0]?.delaySeconds ?? 0;
    rounds++;
    await deliver({ makeDue: true });
  }
  expect({ rounds, seconds }).toEqual({ rounds: 7, seconds: 15 + 30 + 60 + 120 + 240 + 480 });
  expect(await rowOf(batchId)).toMatchObject({
    state: 'failed',
    attempts: 7,
    error: `http_${said.status}: there is no such execution; it may have been deleted`,
  });
});

test.each([
  ['a proxy', '404 page not found'],
  ['n8n before it knows its routes', '<!DOCTYPE html><pre>Cannot POST /webhook-waiting/17</pre>'],
  [
    'what answers at length',
    JSON.stringify({ message: `The execution "17" does not exist. ${'x'.repeat(5_000)}` }),
  ],
])(
  'a 404 of %s is asked again like any other failure, so an hour without n8n loses no resume',
  async (_, body) => {
    let away = true;
    const waiting = await waits(() => (away ? { status: 404, body } : 200));
    const { batchId } = await aBatch(waiting.url);
    let seconds = 0;
    while (seconds < 3_600) {
      conveyor.deliveries.push({
        body: { v: 1, type: 'resume', batchIds: [batchId] },
        delaySeconds: 0,
        groupId: '',
      });
      await deliver({ makeDue: true });
      seconds += (await rowOf(batchId)).delay;
      expect(await rowOf(batchId)).toMatchObject({ state: 'due', gone: 0 });
    }
    away = false;
    conveyor.deliveries.push({
      body: { v: 1, type: 'resume', batchIds: [batchId] },
      delaySeconds: 0,
      groupId: '',
    });
    await deliver({ makeDue: true });
    expect(await rowOf(batchId)).toMatchObject({ state: 'done' });
  },
);

test('n8n that answers 200 while it starts has taken nothing, and is asked again', async () => {
  const starting = { status: 200, body: 'n8n is starting up. Please wait' };
  const waiting = await waits((count) => (count === 1 ? starting : 200));
  const { batchId } = await aBatch(waiting.url);
  await deliver();
  expect(await rowOf(batchId)).toMatchObject({
    state: 'due',
    error: 'n8n_starting: n8n is starting up; it took nothing',
  });
  await deliver({ makeDue: true });
  expect(await rowOf(batchId)).toMatchObject({ state: 'done', error: null });
  expect(waiting.resumed).toHaveLength(2);
});

test('an answer of any length is an answer', async () => {
  const waiting = await waits(() => ({ status: 200, body: 'x'.repeat(1_000_000) }));
  const { batchId } = await aBatch(waiting.url);
  await deliver();
  expect(await rowOf(batchId)).toMatchObject({ state: 'done', attempts: 1 });
});

test.each([
  [500, 'http_500: the URL answered 500'],
  [302, 'http_302: redirects are not followed'],
  [401, 'http_401: the URL answered 401'],
])('%i is asked again, for seven days', async (status, error) => {
  const waiting = await waits(() => status);
  const { batchId } = await aBatch(waiting.url);
  await deliver();
  expect(await rowOf(batchId)).toMatchObject({
    state: 'due',
    attempts: 1,
    error,
    delay: expect.closeTo(2, 0),
  });
  expect(waiting.resumed).toHaveLength(1);
  await db.query(sql('test.age')`
    update research_batches set finished_at = now() - interval '7 days 1 second' where id = ${batchId}`);
  await deliver({ makeDue: true });
  expect(await rowOf(batchId)).toMatchObject({ state: 'failed', attempts: 2, error });
});

test('a late try is the sweep’s, an hour later at most', async () => {
  const { batchId } = await aBatch((await waits(() => 503)).url);
  await db.query(sql('test.tries')`
    update research_batches set resume_attempts = 100 where id = ${batchId}`);
  await deliver();
  expect(conveyor.deliveries).toEqual([]);
  expect((await rowOf(batchId)).delay).toBeCloseTo(3600, -1);
  await sweep(conveyor.deps, plenty);
  expect(conveyor.deliveries).toEqual([]);
  await db.query(sql('test.later')`
    update research_batches set resume_at = now(), resume_feed_at = now() where id = ${batchId}`);
  await sweep(conveyor.deps, plenty);
  expect(conveyor.deliveries).toMatchObject([{ body: { batchIds: [batchId] }, delaySeconds: 0 }]);
  await sweep(conveyor.deps, plenty);
  expect(conveyor.deliveries).toHaveLength(1);
});

test('a resume whose message was never sent is sent by the sweep', async () => {
  const waiting = await waits();
  const { batchId } = await aBatch(waiting.url);
  conveyor.deliveries.length = 0; // the process died after the commit
  await sweep(conveyor.deps, plenty);
  expect(conveyor.deliveries).toEqual([]); // it may be on its way still
  await db.query(sql('test.grace')`
    update research_batches set resume_feed_at = resume_feed_at - interval '60 seconds' where id = ${batchId}`);
  await sweep(conveyor.deps, plenty);
  await deliver();
  expect(waiting.resumed).toHaveLength(1);
});

test('trouble with the delivery queue does not fail what ended the batch', async () => {
  const warnings: string[] = [];
  Object.assign(conveyor.deps.log, { warn: (event: string) => warnings.push(event) });
  Object.assign(conveyor.deps.deliveries, { send: () => Promise.reject(new Error('no queue')) });
  const { batchId } = await aBatch((await waits()).url);
  expect(await rowOf(batchId)).toMatchObject({ status: 'completed', state: 'due' });
  expect(warnings).toEqual(['resumes.send_failed']);
});

test('who lost the lease changes nothing; the next one asks', async () => {
  const waiting = await waits();
  const { batchId } = await aBatch(waiting.url);
  const [dead] = await claimResumes(db.asWorker, [batchId], { leaseSeconds: 60 });
  expect(await claimResumes(db.asWorker, [batchId], { leaseSeconds: 60 })).toEqual([]);
  await db.query(sql('test.over')`
    update research_batches set resume_lease_until = now() - interval '1 second', resume_feed_at = now()
    where id = ${batchId}`);
  conveyor.deliveries.length = 0;
  await sweep(conveyor.deps, plenty);
  await deliver();
  expect(waiting.resumed).toHaveLength(1);
  const late = {
    id: batchId,
    leaseId: dead?.lease_id ?? '',
    state: 'failed',
    goneCount: 0,
    error: 'x',
  } as const;
  expect(await settleResumes(db.asWorker, [late])).toEqual([]);
  expect(await rowOf(batchId)).toMatchObject({ state: 'done', attempts: 2, error: null });
});

test('a private address is not asked, and the reason is kept without it', async () => {
  const waiting = await waits();
  const { batchId } = await aBatch(waiting.url);
  const http = guardedAgent({ allowedNetworks: [], connections: 1 });
  ends.push(() => http.destroy());
  await deliverResumes(delivering({ http }), [batchId], plenty);
  expect(waiting.resumed).toEqual([]);
  const { state, error } = await rowOf(batchId);
  expect(state).toBe('failed');
  expect(error).toMatch(/^address_refused: the URL leads to an address that is not public/);
  expect(error).not.toMatch(/127|signature/);
});

test('what there is no time for is given back, and uses no attempt', async () => {
  const waiting = await waits();
  const { batchId } = await aBatch(waiting.url);
  conveyor.deliveries.length = 0;
  await deliverResumes(delivering(), [batchId], { remainingMs: () => 5_000 });
  expect(await rowOf(batchId)).toMatchObject({ state: 'due', attempts: 0, lease: null });
  expect(conveyor.deliveries).toMatchObject([{ delaySeconds: 1 }]);
  expect(waiting.resumed).toEqual([]);
});

test('a wait that reaches its limit is resumed with the batch still open, and not again at its end', async () => {
  const waiting = await waits();
  const { batchId } = await aBatch(waiting.url, { drained: false, resumeWithinSeconds: 1 });
  await sweep(conveyor.deps, plenty);
  expect(conveyor.deliveries).toEqual([]);
  await db.query(sql('test.limit')`
    update research_batches set resume_by = now() - interval '1 second' where id = ${batchId}`);
  await sweep(conveyor.deps, plenty);
  await deliver();
  expect(waiting.resumed).toMatchObject([
    { body: { type: 'batch.open', status: 'open', counts: { queued: 3, completed: 0 }, endedAt: null } },
  ]);
  await conveyor.drain();
  expect(await rowOf(batchId)).toMatchObject({ status: 'completed', state: 'done' });
  expect(conveyor.deliveries).toEqual([]);
});

test('another wait for the same batch is asked under an id of its own, the same at each of its tries', async () => {
  const waiting = await waits((count) => (count === 2 ? 503 : 200));
  const { batchId } = await aBatch(waiting.url, { drained: false, resumeWithinSeconds: 60 });
  const limit = async () => {
    await db.query(sql('test.limit')`
      update research_batches set resume_by = resume_by - interval '1 hour' where id = ${batchId}`);
    await sendDueResumes(conveyor.deps, { hasTime: () => true });
    await deliver();
  };
  await limit();
  await db.transaction((tx) => awaitEnd(tx, batchId, waiting.url, 120));
  await limit();
  await deliver({ makeDue: true });
  await db.transaction((tx) => awaitEnd(tx, batchId, waiting.url));
  await conveyor.drain();
  await deliver();
  const types = waiting.resumed.map(({ body }) => body.type);
  expect(types).toEqual(['batch.open', 'batch.open', 'batch.open', 'batch.ended']);
  const [first, second, again, end] = waiting.resumed.map(({ headers }) => headers['webhook-id']);
  expect(again).toBe(second);
  expect(new Set([first, second, end]).size).toBe(3);
});

test('a batch past its deadline resumes who waits', async () => {
  const waiting = await waits();
  const { batchId } = await aBatch(waiting.url, { drained: false });
  await db.query(sql('test.deadline')`
    update research_batches set deadline = now() - interval '1 second' where id = ${batchId}`);
  await sweep(conveyor.deps, plenty);
  await deliver();
  expect(waiting.resumed).toMatchObject([{ body: { status: 'completed', counts: { failed: 3 } } }]);
});

test('deleting a campaign tells who waits that the batch was cancelled, before it is gone', async () => {
  const waiting = await waits();
  const { batchId, campaignId, tenantId } = await aBatch(waiting.url, { drained: false });
  await deleteCampaign({ db: db.asApi.forTenant(tenantId) }, tenantId, campaignId);
  expect(await rowOf(batchId)).toMatchObject({ status: 'cancelled', state: 'due' });
  await sweep(conveyor.deps, plenty);
  await deliver();
  expect(waiting.resumed).toMatchObject([{ body: { type: 'batch.ended', batchId, status: 'cancelled' } }]);
  await sweep(conveyor.deps, plenty);
  expect(await rowOf(batchId)).toBeUndefined();
  expect(await db.query(sql('test.gone')`select id from campaigns where id = ${campaignId}`)).toEqual([]);
});

test('who reached his limit and could not be told yet is told, though his campaign is deleted', async () => {
  const waiting = await waits((count) => (count === 1 ? 503 : 200));
  const { batchId, campaignId, tenantId } = await aBatch(waiting.url, {
    drained: false,
    resumeWithinSeconds: 60,
  });
  await db.query(sql('test.limit')`
    update research_batches set resume_by = now() - interval '1 second' where id = ${batchId}`);
  await sendDueResumes(conveyor.deps, { hasTime: () => true });
  await deliver();
  await deleteCampaign({ db: db.asApi.forTenant(tenantId) }, tenantId, campaignId);
  expect(await rowOf(batchId)).toMatchObject({ status: 'cancelled', state: 'due', attempts: 1 });
  await deliver({ makeDue: true });
  expect(waiting.resumed[1]).toMatchObject({ body: { type: 'batch.ended', status: 'cancelled' } });
});

test('who is being told of his limit while his campaign is deleted stays with whom tells him', async () => {
  const { batchId, campaignId, tenantId } = await aBatch((await waits()).url, {
    drained: false,
    resumeWithinSeconds: 60,
  });
  await db.query(sql('test.limit')`
    update research_batches set resume_by = now() - interval '1 second' where id = ${batchId}`);
  await sendDueResumes(conveyor.deps, { hasTime: () => true });
  conveyor.deliveries.length = 0;
  const [claimed] = await claimResumes(db.asWorker, [batchId], { leaseSeconds: 75 });
  await deleteCampaign({ db: db.asApi.forTenant(tenantId) }, tenantId, campaignId);
  await sendDueResumes(conveyor.deps, { hasTime: () => true });
  expect(conveyor.deliveries).toEqual([]);
  const told = { id: batchId, leaseId: claimed?.lease_id ?? '', goneCount: 0, error: 'http_503' };
  await settleResumes(db.asWorker, [{ ...told, state: 'due', delaySeconds: 1 }]);
  expect(await rowOf(batchId)).toMatchObject({ status: 'cancelled', state: 'due', lease: null });
});

test('a deleted campaign does not wait for long for somebody who cannot be told', async () => {
  const { batchId, campaignId, tenantId } = await aBatch((await waits(() => 500)).url, { drained: false });
  await deleteCampaign({ db: db.asApi.forTenant(tenantId) }, tenantId, campaignId);
  await db.query(sql('test.later')`
    update research_batches set finished_at = now() - interval '5 minutes' where id = ${batchId}`);
  await sweep(conveyor.deps, plenty);
  expect(await db.query(sql('test.gone')`select id from campaigns where id = ${campaignId}`)).toEqual([]);
});

test('the sweep finds what is due, and what waited for too long, by index', async () => {
  const { tenantId, campaignId, provider } = await aBatch((await waits()).url);
  await db.query(sql('test.many')`
    insert into research_batches (user_id, campaign_id, provider_id, kind, resume_url, resume_state, resume_at,
      resume_feed_at, resume_by)
    select ${tenantId}, ${campaignId}, ${provider.id}, 'company', case when n % 3 < 2 then 'https://a.example/' end,
      case n % 3 when 0 then 'due' when 1 then 'waiting' else 'none' end,
      case when n % 3 = 0 then now() end, case when n % 3 = 0 then now() + n * interval '1 second' end,
      case when n % 3 = 1 then now() + n * interval '1 second' end
    from generate_series(1, 30000) n`);
  await db.query(sql('test.analyze')`analyze research_batches`);
  const plans: string[] = [];
  const explaining = {
    ...conveyor.deps.db,
    async query<Result>(statement: Parameters<typeof db.query>[0]) {
      const text = `explain (format json) ${statement.text}`;
      plans.push(JSON.stringify(await db.asWorker.query({ ...statement, text })));
      return db.asWorker.query<Result>(statement);
    },
  };
  await sendDueResumes({ ...conveyor.deps, db: explaining }, { hasTime: () => true });
  expect(plans).toHaveLength(2);
  expect(plans[0]).toContain('research_batches_resume_by');
  expect(plans[1]).toContain('research_batches_resume_due');
  for (const plan of plans) expect(plan).not.toMatch(/Seq Scan|"Sort"/);
});

test('nothing of the URL is logged', async () => {
  const logged: unknown[] = [];
  const note = (...line: unknown[]) => void logged.push(line);
  Object.assign(conveyor.deps.log, { info: note, warn: note });
  const { batchId } = await aBatch((await waits((count) => (count === 1 ? 500 : 410))).url);
  await deliver();
  await db.query(sql('test.gone')`update research_batches set resume_gone_count = 6 where id = ${batchId}`);
  await deliver({ makeDue: true });
  expect(logged).toContainEqual(['resumes.failed', { batchId, error: expect.stringContaining('http_410') }]);
  expect(JSON.stringify(logged)).not.toMatch(/webhook-waiting|signature|127\.0\.0\.1/);
});

test('many at once are claimed, counted and settled in one statement each', async () => {
  const waiting = await waits();
  const { batchId, tenantId, campaignId, provider } = await aBatch(waiting.url);
  const rows = await db.query<{ id: string }>(sql('test.many')`
    insert into research_batches (user_id, campaign_id, provider_id, kind, status, expanded_at, sealed_at, finished_at,
      resume_url, resume_state, resume_at, resume_feed_at)
    select ${tenantId}, ${campaignId}, ${provider.id}, 'company', 'completed', now(), now(), now(),
      ${waiting.url}, 'due', now(), now() from generate_series(1, 250) returning id`);
  conveyor.deliveries.length = 0;
  await sweep(conveyor.deps, plenty);
  expect(conveyor.deliveries.map(({ body }) => body.batchIds.length)).toEqual([100, 100, 50]);
  const statements: string[] = [];
  const counted = {
    ...conveyor.deps.db,
    query: <Result>(statement: Parameters<typeof db.query>[0]) => {
      statements.push(statement.statement);
      return db.asWorker.query<Result>(statement);
    },
  };
  const ids = [...rows.map(({ id }) => id), batchId];
  await deliverResumes(delivering({ db: counted }), ids, plenty);
  expect(statements).toEqual(['resumes.claim', 'batches.counts', 'resumes.settle']);
  expect(waiting.resumed).toHaveLength(251);
});
