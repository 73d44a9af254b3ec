import { sql } from '../../core/db/sql.ts';
import { applyResults, findAsk } from '../../core/research/callback.ts';
import { claim } from '../../core/research/claim.ts';
import { takeDeadLetters } from '../../core/research/dead-letters.ts';
import { dispatch } from '../../core/research/dispatch.ts';
import { feed } from '../../core/research/feed.ts';
import type { OutgoingMessage } from '../../core/research/queue.ts';
import { settle } from '../../core/research/settle.ts';
import { sweep } from '../../core/research/sweep.ts';
import { aConveyor, countOf, deadLetter, jobsOf } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aProvider, aTenant, aWorld } from '../support/factories.ts';
import { type AskBody, completeAll, type Reply } from '../support/provider.ts';
import { type Respond, type RunOptions, startRun } from '../support/run.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

const aRun = (respond: Respond, options?: RunOptions) => startRun(db, respond, options);
const accept = (): Reply => ({ status: 202 });
const plenty = { remainingMs: () => 60_000 };

test('companies are asked in batches, signed, and end with research and prospects', async () => {
  const run = await aRun(completeAll, { companies: 25, batchSize: 10 });
  await run.conveyor.drain();
  const jobs = await run.jobs();
  expect(jobs.map((job) => job.status)).toEqual(Array(25).fill('completed'));
  expect(await run.batch()).toEqual({ status: 'completed', total: 25 });
  expect(run.remote.asks.map((ask) => ask.requests.length).sort()).toEqual([10, 10, 5]);
  expect(run.remote.signatures.every(({ valid }) => valid)).toBe(true);
  expect(run.remote.signatures.map(({ id }) => id)).toEqual(run.remote.asks.map((ask) => ask.askId));
  const research = sql(
    'test.count',
  )`select count(*) from company_research where campaign_id = ${run.campaignId}
    and summary like 'about Company%' and findings = '{"employees": 7}' and generation = 1`;
  expect(await countOf(db, research)).toBe(25);
  const found = sql(
    'test.count',
  )`select count(*) from company_research r join companies c on c.id = r.company_id
    where r.campaign_id = ${run.campaignId} and r.search_vector = c.search_vector`;
  expect(await countOf(db, found)).toBe(25);
  const prospects = sql(
    'test.count',
  )`select count(*) from prospect_research where campaign_id = ${run.campaignId}`;
  expect(await countOf(db, prospects)).toBe(25);
  await run.close();
});

test('a message that comes twice asks nobody twice', async () => {
  const run = await aRun(completeAll, { companies: 5 });
  const ids = run.conveyor.sent.flatMap((message) => message.body.jobIds);
  await Promise.all([dispatch(run.conveyor.deps, ids, plenty), dispatch(run.conveyor.deps, ids, plenty)]);
  await dispatch(run.conveyor.deps, ids, plenty);
  expect(run.remote.asks.flatMap((ask) => ask.requests)).toHaveLength(5);
  await run.close();
});

test('the claim is committed before the POST leaves', async () => {
  const seen: string[] = [];
  const run = await aRun(async (ask) => {
    const rows = await db.query<{ status: string }>(
      sql(
        'test.seen',
      )`select status from research_jobs where id = any(${ask.requests.map((r) => r.jobId)}::uuid[])`,
    );
    seen.push(...rows.map((row) => row.status));
    return completeAll(ask);
  });
  await run.conveyor.drain();
  expect(seen).toEqual(Array(5).fill('processing'));
  await run.close();
});

test('two claimers that wait on each other never exceed the concurrency', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 40, concurrency: 10 });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  const ids = (await jobsOf(db, batchId)).map((job) => job.id);
  const asks = await Promise.all([
    claim(db, ids.slice(0, 20), { leaseSeconds: 60 }),
    claim(db, ids.slice(20), { leaseSeconds: 60 }),
  ]);
  expect(asks.flat().flatMap((ask) => ask.jobs)).toHaveLength(10);
  expect((await jobsOf(db, batchId)).filter((job) => job.status === 'processing')).toHaveLength(10);
  await conveyor.close();
});

test('the feed never puts more on the conveyor than a provider has permits', async () => {
  const { tenantId, campaignId, provider } = await aWorld(db, { companies: 40, concurrency: 7 });
  const conveyor = aConveyor(db);
  await conveyor.start(tenantId, campaignId);
  await Promise.all([1, 2, 3].map(() => feed(conveyor.deps, { providerIds: [provider.id] })));
  expect(conveyor.sent.flatMap((message) => message.body.jobIds)).toHaveLength(7);
  await conveyor.close();
});

test('an unlimited provider is fed a hundred ids a message', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 1050 });
  const conveyor = aConveyor(db);
  await conveyor.start(tenantId, campaignId);
  expect(conveyor.sent.map((message) => message.body.jobIds.length)).toEqual([...Array(10).fill(100), 50]);
  await conveyor.close();
});

test('one claim takes every due job of an unlimited provider', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 250, batchSize: 10 });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  const ids = (await jobsOf(db, batchId)).map((job) => job.id);
  const asks = await claim(db, ids, { leaseSeconds: 60 });
  expect(asks.map((ask) => ask.jobs.length)).toEqual(Array(25).fill(10));
  await conveyor.close();
});

test('a rate lets through what its bucket holds, and the feed paces the rest by delay', async () => {
  const { tenantId, campaignId, provider } = await aWorld(db, {
    companies: 40,
    batchSize: 5,
    ratePerSecond: 2,
  });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  const delays = conveyor.sent.flatMap((message) => message.body.jobIds.map(() => message.delaySeconds));
  expect(Math.max(...delays)).toBe(20);
  await db.query(sql(
    'test.bucket',
  )`update research_providers set permits = 0, permits_at = now() - interval '1 hour'
    where id = ${provider.id}`);
  const ids = (await jobsOf(db, batchId)).map((job) => job.id);
  const asks = await claim(db, ids, { leaseSeconds: 60 });
  expect(asks.flatMap((ask) => ask.jobs)).toHaveLength(5);
  await conveyor.close();
});

test('an id that finds no permit leaves the conveyor at once, due as before', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 5, concurrency: 2 });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  await db.query(
    sql(
      'test.stamp',
    )`update research_jobs set fed_until = now() + interval '1 hour' where batch_id = ${batchId}`,
  );
  await claim(
    db,
    (await jobsOf(db, batchId)).map((job) => job.id),
    { leaseSeconds: 60 },
  );
  const jobs = await jobsOf(db, batchId);
  expect(jobs.filter((job) => job.status === 'processing')).toHaveLength(2);
  expect(jobs.filter((job) => job.status === 'queued' && job.fed)).toHaveLength(0);
  await conveyor.close();
});

test('messages that the queue refuses are off the conveyor again', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 5 });
  const conveyor = aConveyor(db);
  conveyor.deps.queue.send = async (messages) => messages;
  const batchId = await conveyor.start(tenantId, campaignId);
  expect((await jobsOf(db, batchId)).filter((job) => job.fed)).toHaveLength(0);
  await conveyor.close();
});

test('a 202 hands the job over on the longer lease, and the signed callback ends it once', async () => {
  const run = await aRun(accept, { companies: 3 });
  await run.conveyor.drain();
  expect((await run.jobs()).map((job) => job.status)).toEqual(['processing', 'processing', 'processing']);
  const [ask] = run.remote.asks as [AskBody];
  const found = await findAsk(db, ask.askId);
  expect(found).toMatchObject({ tenantId: run.tenantId, secrets: [run.provider.secret] });
  if (!found) throw new Error('no ask');
  const results = completeAll(ask).body as { results: unknown[] };
  const answers = await Promise.all(
    Array.from({ length: 5 }, () => applyResults(run.conveyor.deps, found, results.results)),
  );
  expect(answers.reduce((sum, { applied }) => sum + applied, 0)).toBe(3);
  expect(answers.reduce((sum, { stale }) => sum + stale, 0)).toBe(12);
  expect(await run.batch()).toMatchObject({ status: 'completed' });
  const generations = sql(
    'test.count',
  )`select count(*) from company_research where campaign_id = ${run.campaignId} and generation = 1`;
  expect(await countOf(db, generations)).toBe(3);
  await run.close();
});

test('a callback that comes before our own 202 is handled still counts', async () => {
  const run = await aRun(async (ask) => {
    const found = await findAsk(db, ask.askId);
    if (!found) throw new Error('no ask');
    await applyResults(run.conveyor.deps, found, (completeAll(ask).body as { results: unknown[] }).results);
    return { status: 202 };
  });
  await run.conveyor.drain();
  expect((await run.jobs()).map((job) => job.status)).toEqual(Array(5).fill('completed'));
  await run.close();
});

test('a result for a job that was not part of the ask is rejected by its index', async () => {
  const run = await aRun(accept, { companies: 1 });
  await run.conveyor.drain();
  const other = await aRun(accept, { companies: 1 });
  await other.conveyor.drain();
  const found = await findAsk(db, (run.remote.asks[0] as AskBody).askId);
  if (!found) throw new Error('no ask');
  const foreign = (completeAll(other.remote.asks[0] as AskBody).body as { results: unknown[] }).results;
  const answer = await applyResults(run.conveyor.deps, found, [...foreign, { nonsense: true }]);
  expect(answer).toMatchObject({ applied: 0, rejected: [{ index: 0, code: 'not_asked' }, { index: 1 }] });
  expect((await other.jobs()).map((job) => job.status)).toEqual(['processing']);
  await Promise.all([run.close(), other.close()]);
});

test('a stale worker changes nothing', async () => {
  const run = await aRun(accept, { companies: 1, maxRetries: 1 });
  await run.conveyor.drain();
  const [first] = await run.jobs();
  await run.makeLeasesExpire();
  await sweep(run.conveyor.deps, plenty);
  await run.conveyor.drain();
  const [second] = await run.jobs();
  expect(second?.attempt_id).not.toBe(first?.attempt_id);
  const stale = { jobId: first?.id ?? '', attemptId: first?.attempt_id ?? '' };
  expect(await settle(db, [{ ...stale, type: 'completed', summary: 'stale' }])).toEqual([]);
  expect(await run.jobs()).toEqual([second]);
  await run.close();
});

test('a late result of the latest attempt is applied while the job waits for its retry', async () => {
  const run = await aRun(accept, { companies: 1 });
  await run.conveyor.drain();
  await run.makeLeasesExpire();
  await sweep(run.conveyor.deps, plenty);
  expect(await run.jobs()).toMatchObject([
    { status: 'queued', retry_count: 1, error_code: 'callback_timeout' },
  ]);
  const [ask] = run.remote.asks as [AskBody];
  const found = await findAsk(db, ask.askId);
  if (!found) throw new Error('no ask');
  await applyResults(run.conveyor.deps, found, (completeAll(ask).body as { results: unknown[] }).results);
  expect(await run.jobs()).toMatchObject([{ status: 'completed', error_code: null }]);
  const late = sql(
    'test.count',
  )`select count(*) from research_attempts where ask_id = ${ask.askId} and outcome = 'late'`;
  expect(await countOf(db, late)).toBe(1);
  await run.close();
});

test('transient failures are retried until the retries are used up', async () => {
  const healing = await aRun((ask, count) => (count <= 2 ? { status: 500 } : completeAll(ask)), {
    companies: 2,
  });
  await healing.conveyor.drain();
  expect(await healing.jobs()).toMatchObject(Array(2).fill({ status: 'completed', retry_count: 2 }));
  const hopeless = await aRun(() => ({ status: 500 }), { companies: 2, maxRetries: 2 });
  await hopeless.conveyor.drain();
  expect(await hopeless.jobs()).toMatchObject(
    Array(2).fill({ status: 'failed', retry_count: 2, error_code: 'http_500' }),
  );
  expect(hopeless.remote.asks).toHaveLength(3);
  expect(await hopeless.batch()).toMatchObject({ status: 'completed' });
  await Promise.all([healing.close(), hopeless.close()]);
});

test('throttling pauses the provider and uses up no attempt', async () => {
  const run = await aRun(
    (ask, count) => (count === 1 ? { status: 429, headers: { 'retry-after': '7' } } : completeAll(ask)),
    {
      maxRetries: 0,
    },
  );
  const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  await dispatch(run.conveyor.deps, ids, plenty);
  expect(await run.jobs()).toMatchObject(
    Array(5).fill({ status: 'queued', retry_count: 0, throttle_count: 1 }),
  );
  expect(run.conveyor.sent.map((message) => message.delaySeconds)).toEqual([7]);
  await run.conveyor.drain();
  expect(await run.jobs()).toMatchObject(Array(5).fill({ status: 'completed' }));
  await run.close();
});

test.each([
  ['a 4xx', { status: 422 }, 'http_422', 'failed'],
  [
    'a redirect, which is not followed',
    { status: 302, headers: { location: 'http://169.254.169.254/' } },
    'http_302',
    'failed',
  ],
  ['broken JSON in a 200', { body: '<html>' }, 'invalid_answer', 'queued'],
  ['silence', { hang: true }, 'timeout', 'queued'],
])('%s ends the attempt as documented', async (_, reply: Reply, code, status) => {
  const run = await aRun(() => reply, { companies: 1, timeoutMs: 300 });
  const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  await dispatch(run.conveyor.deps, ids, plenty);
  expect(await run.jobs()).toMatchObject([{ status, error_code: code }]);
  expect(run.remote.asks).toHaveLength(1);
  await run.close();
});

test('a private address is refused before any connection unless its network is allowed', async () => {
  const run = await aRun(completeAll, { companies: 1 });
  const { guardedAgent } = await import('../../core/http/guard.ts');
  const http = guardedAgent({ allowedNetworks: [], connections: 1 });
  const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  await dispatch({ ...run.conveyor.deps, http }, ids, plenty);
  expect(await run.jobs()).toMatchObject([{ status: 'failed', error_code: 'address_refused' }]);
  expect(run.remote.asks).toHaveLength(0);
  await Promise.all([run.close(), http.destroy()]);
});

test('characters and depths that Postgres refuses cost no other job its result', async () => {
  const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
  const run = await aRun(
    (ask) => {
      const [first, second] = ask.requests;
      const text = JSON.stringify(completeAll(ask).body);
      return {
        body: text
          .replace(`about ${first?.company.name}`, 'a\\u0000b\\ud800c')
          .replace(`"about ${second?.company.name}","findings":{"employees":7}`, `"deep","findings":${deep}`),
      };
    },
    { companies: 4 },
  );
  await run.conveyor.drain();
  const jobs = await run.jobs();
  expect(jobs.filter((job) => job.status === 'completed')).toHaveLength(3);
  expect(jobs.filter((job) => job.status === 'failed')).toMatchObject([{ error_code: 'invalid_result' }]);
  const kept = sql('test.count')`select count(*) from company_research where campaign_id = ${run.campaignId}
    and summary = ${'a\ufffdb\ufffdc'}`;
  expect(await countOf(db, kept)).toBe(1);
  await run.close();
});

test('a process that dies after its claim loses no job and uses up no retry', async () => {
  const run = await aRun(completeAll, { companies: 3, maxRetries: 0 });
  const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  await claim(db, ids, { leaseSeconds: 60 });
  await run.makeLeasesExpire();
  await Promise.all([sweep(run.conveyor.deps, plenty), sweep(run.conveyor.deps, plenty)]);
  expect(await run.jobs()).toMatchObject(Array(3).fill({ status: 'queued', crash_count: 1, retry_count: 0 }));
  await run.conveyor.drain();
  expect((await run.jobs()).map((job) => job.status)).toEqual(Array(3).fill('completed'));
  expect(run.remote.asks.map((ask) => ask.requests.length)).toEqual([1, 1, 1]);
  await run.close();
});

test('messages that the queue lost are sent again by the sweep', async () => {
  const run = await aRun(completeAll, { companies: 3 });
  run.conveyor.sent.splice(0);
  await db.query(
    sql(
      'test.lose',
    )`update research_jobs set fed_until = now() - interval '1 s' where batch_id = ${run.batchId}`,
  );
  await sweep(run.conveyor.deps, plenty);
  await run.conveyor.drain();
  expect((await run.jobs()).map((job) => job.status)).toEqual(Array(3).fill('completed'));
  await run.close();
});

test('a batch past its deadline ends, and so does each of its jobs', async () => {
  const run = await aRun(accept, { companies: 3 });
  await db.query(
    sql('test.late')`update research_batches set deadline = now() - interval '1 s' where id = ${run.batchId}`,
  );
  await sweep(run.conveyor.deps, plenty);
  expect(await run.jobs()).toMatchObject(
    Array(3).fill({ status: 'failed', error_code: 'deadline_exceeded' }),
  );
  expect(await run.batch()).toMatchObject({ status: 'completed' });
  await run.close();
});

test('a dead letter gives its jobs back, and what cannot be read is kept raw, once', async () => {
  const run = await aRun(completeAll, { companies: 2 });
  const [message] = run.conveyor.sent.splice(0) as [OutgoingMessage];
  const letters = [deadLetter(message, 'm1'), { messageId: 'm2', body: 'not json \u0000', receiveCount: 6 }];
  await takeDeadLetters(run.conveyor.deps, 'research', letters);
  await takeDeadLetters(run.conveyor.deps, 'research', letters);
  expect(await run.jobs()).toMatchObject(Array(2).fill({ status: 'queued', crash_count: 1, fed: false }));
  const kept = await db.query(
    sql('test.letters')`select body, receive_count from dead_letters where message_id = 'm2'`,
  );
  expect(kept).toEqual([{ body: Buffer.from('not json \u0000'), receive_count: 6 }]);
  await run.close();
});

test.each([
  ['a NUL', '\\u0000'],
  ['half a surrogate pair', '\\ud800'],
])('a dead letter with a key that holds %s is kept, and keeps no other from its turn', async (_, key) => {
  const run = await aRun(completeAll, { companies: 2 });
  const [message] = run.conveyor.sent.splice(0) as [OutgoingMessage];
  const body = `{"v":1,"jobIds":["018f0000-0000-7000-8000-000000000001"],"${key}":1}`;
  const messageId = crypto.randomUUID();
  await takeDeadLetters(run.conveyor.deps, 'research', [
    { messageId, body, receiveCount: 6 },
    deadLetter(message),
  ]);
  const kept = await db.query(
    sql('test.letters')`select body, reason from dead_letters where message_id = ${messageId}`,
  );
  expect(kept).toEqual([{ body: Buffer.from(body), reason: expect.stringContaining('\ufffd') }]);
  expect(await run.jobs()).toMatchObject(Array(2).fill({ status: 'queued', crash_count: 1 }));
  await run.close();
});

test('a provider without any job is no trouble for the feed', async () => {
  const tenantId = await aTenant(db);
  const provider = await aProvider(db, tenantId, { name: 'idle' });
  const conveyor = aConveyor(db);
  expect(await feed(conveyor.deps, { providerIds: [provider.id] })).toEqual({ jobs: 0, messages: 0 });
  await conveyor.close();
});
