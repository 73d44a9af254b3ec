import { sql } from '../../core/db/sql.ts';
import { claim } from '../../core/research/claim.ts';
import { dispatch } from '../../core/research/dispatch.ts';
import { feed } from '../../core/research/feed.ts';
import { expireLeases } from '../../core/research/leases.ts';
import { type Outcome, settle } from '../../core/research/settle.ts';
import { jobsOf } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, someCompanies } from '../support/factories.ts';
import { completeAll } from '../support/provider.ts';
import { type RunOptions, startRun } from '../support/run.ts';

// A test that drains the conveyor makes all jobs due first; here nothing is due before its time.
let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());
const aRun = (options?: RunOptions) => startRun(db, completeAll, options);
const plenty = { remainingMs: () => 60_000 };
const within = { leaseSeconds: 60 };

/** How long until its jobs are due, in seconds, the soonest first. */
async function waits(batchId: string): Promise<number[]> {
  const rows = await db.query<{ seconds: number }>(sql('test.waits')`
    select extract(epoch from run_at - now())::float8 as seconds from research_jobs where batch_id = ${batchId} order by 1`);
  return rows.map((row) => row.seconds);
}

test('a claim leaves what is not due yet, off the conveyor and as late as before', async () => {
  const run = await aRun({ companies: 4 });
  const ids = (await run.jobs()).map((job) => job.id);
  await db.query(sql('test.later')`
    update research_jobs set run_at = now() + interval '1 hour' where id = any(${ids.slice(0, 3)}::uuid[])`);
  const asks = await claim(db.asWorker, ids, within);
  expect(asks.flatMap((ask) => ask.jobs).map((job) => job.id)).toEqual([ids[3]]);
  expect((await run.jobs()).filter((job) => job.status === 'queued' && !job.fed)).toHaveLength(3);
  expect((await waits(run.batchId)).slice(1).every((seconds) => seconds > 3_500)).toBe(true);
  await run.close();
});

test('while its provider is paused nobody claims a job, and afterwards all are claimed', async () => {
  const run = await aRun({ companies: 4 });
  const ids = (await run.jobs()).map((job) => job.id);
  const pause = (seconds: number) =>
    db.query(sql('test.pause')`
      update research_providers set paused_until = now() + make_interval(secs => ${seconds}) where id = ${run.provider.id}`);
  await pause(60);
  await dispatch(run.conveyor.deps, ids, plenty);
  expect(run.remote.asks).toEqual([]);
  expect(await run.jobs()).toMatchObject(Array(4).fill({ status: 'queued', attempt_id: null }));
  await pause(-1);
  expect((await claim(db.asWorker, ids, within)).flatMap((ask) => ask.jobs)).toHaveLength(4);
  await run.close();
});

test('an open circuit whose probe is out gives nothing to the next claim', async () => {
  const run = await aRun({ companies: 4 });
  const ids = (await run.jobs()).map((job) => job.id);
  await db.query(sql('test.open')`
    update research_providers set circuit = 'open', circuit_reason = 'http_500', circuit_trips = 1, paused_until = now() where id = ${run.provider.id}`);
  const first = await claim(db.asWorker, ids, within);
  expect(first.flatMap((ask) => ask.jobs)).toHaveLength(1);
  expect(await claim(db.asWorker, ids, within)).toEqual([]);
  await run.close();
});

test('a quota holds as long as its window, and no longer', async () => {
  const run = await aRun({ companies: 20, batchSize: 10 });
  const ids = (await run.jobs()).map((job) => job.id);
  const quota = (seconds: number) =>
    db.query(sql('test.quota')`
      update research_providers set quota_asks = 0, quota_until = now() + make_interval(secs => ${seconds})
      where id = ${run.provider.id}`);
  await quota(60);
  expect(await claim(db.asWorker, ids, within)).toEqual([]);
  await quota(-1);
  expect((await claim(db.asWorker, ids, within)).flatMap((ask) => ask.jobs)).toHaveLength(20);
  await run.close();
});

test('a rate that was adapted is the one that a claim keeps to', async () => {
  const run = await aRun({ companies: 100, batchSize: 1, ratePerSecond: 1_000 });
  const ids = (await run.jobs()).map((job) => job.id);
  await db.query(sql('test.adapted')`
    update research_providers set adapted_rate = 5, adapted_from = 1000, adapted_at = now(), permits = 0,
      permits_at = now() - interval '1 hour' where id = ${run.provider.id}`);
  expect((await claim(db.asWorker, ids, within)).flatMap((ask) => ask.jobs)).toHaveLength(5);
  await run.close();
});

test('what is of higher priority is fed and claimed before what has waited for longer', async () => {
  const run = await aRun({ companies: 4, concurrency: 2 });
  await db.query(sql('test.off')`
    update research_jobs set fed_until = null, run_at = now() - interval '1 hour' where batch_id = ${run.batchId}`);
  const urgent = await aCampaign(db, run.tenantId);
  await someCompanies(db, run.tenantId, urgent, 2);
  run.conveyor.sent.splice(0);
  const batchId = await run.conveyor.start(run.tenantId, urgent, 'a-provider', { priority: 9 });
  const first = (await jobsOf(db, batchId)).map((job) => job.id).sort();
  expect(run.conveyor.sent.flatMap((message) => message.body.jobIds).sort()).toEqual(first);
  const all = [...(await run.jobs()).map((job) => job.id), ...first];
  const asks = await claim(db.asWorker, all, within);
  expect(asks.flatMap((ask) => ask.jobs.map((job) => job.id)).sort()).toEqual(first);
  await run.close();
});

test('what is due in an hour, or for a provider that is paused for one, is not put on the conveyor', async () => {
  const run = await aRun({ companies: 3 });
  const providerIds = [run.provider.id];
  run.conveyor.sent.splice(0);
  const set = (due: number, pause: number) =>
    db.query(sql('test.set')`
      with provider as (
        update research_providers set paused_until = now() + make_interval(mins => ${pause}) where id = ${run.provider.id}
      )
      update research_jobs set fed_until = null, run_at = now() + make_interval(mins => ${due}) where batch_id = ${run.batchId}`);
  for (const [due, pause] of [
    [60, -1],
    [0, 60],
  ] as const) {
    await set(due, pause);
    expect(await feed(run.conveyor.deps, { providerIds })).toEqual({ jobs: 0, messages: 0 });
  }
  await set(10, -1);
  expect(await feed(run.conveyor.deps, { providerIds })).toMatchObject({ jobs: 3 });
  expect(run.conveyor.sent[0]?.delaySeconds).toBeGreaterThan(590);
  await run.close();
});

test('a stamp outlasts the delay of its message by a quarter of an hour', async () => {
  const run = await aRun({ companies: 1 });
  await db.query(sql('test.soon')`
    update research_jobs set fed_until = null, run_at = now() + interval '14 minutes' where batch_id = ${run.batchId}`);
  await feed(run.conveyor.deps, { providerIds: [run.provider.id] });
  const [job] = await db.query<{ minutes: number }>(sql('test.stamp')`
    select extract(epoch from fed_until - now())::float8 / 60 as minutes from research_jobs where batch_id = ${run.batchId}`);
  expect(job?.minutes).toBeCloseTo(29, 0);
  await run.close();
});

test('a message has one tenant, one delay, and none but suspects beside suspects', async () => {
  const [one, other] = [await aRun({ companies: 6 }), await aRun({ companies: 2 })];
  await db.query(sql('test.mixed')`
    update research_jobs j set fed_until = null, crash_count = case when n in (1, 2) then 1 else 0 end,
      run_at = now() + case when n > 4 then interval '10 minutes' else '-1 s' end
    from (
      select id, row_number() over (order by id) as n from research_jobs where batch_id = ${one.batchId}
      union all select id, 3 from research_jobs where batch_id = ${other.batchId}
    ) t where t.id = j.id`);
  one.conveyor.sent.splice(0);
  await feed(one.conveyor.deps, { providerIds: [one.provider.id, other.provider.id] });
  const sent = one.conveyor.sent.map(({ body, delaySeconds, groupId }) => [
    groupId === one.tenantId ? 'one' : 'other',
    delaySeconds > 590 ? 'later' : delaySeconds,
    body.jobIds.length,
  ]);
  expect(sent.sort()).toEqual([
    ['one', 0, 2],
    ['one', 0, 2],
    ['one', 'later', 2],
    ['other', 0, 2],
  ]);
  await Promise.all([one.close(), other.close()]);
});

/** Jobs in work, as one ask. */
async function inWork(options: RunOptions = {}) {
  const run = await aRun({ companies: 40, batchSize: 100, ...options });
  const ids = (await run.jobs()).map((job) => job.id);
  const [ask] = await claim(db.asWorker, ids, within);
  const outcomes = (more: Omit<Outcome, 'jobId' | 'attemptId'>) =>
    (ask?.jobs ?? []).map((job): Outcome => ({ jobId: job.id, attemptId: job.attempt_id, ...more }));
  return { run, outcomes };
}

test('a retry waits, longer from try to try, and what was throttled as long as it was told', async () => {
  const retried = await inWork();
  await db.query(
    sql('test.tries')`update research_jobs set retry_count = 2 where batch_id = ${retried.run.batchId}`,
  );
  await settle(db.asWorker, retried.outcomes({ type: 'retry', errorCode: 'x', errorMessage: 'x' }));
  const backoff = await waits(retried.run.batchId);
  // Anything from 0 to 2 s · 2²; forty of them lie not all in the first half.
  expect(backoff.at(-1)).toBeGreaterThan(4);
  expect(backoff.at(-1)).toBeLessThan(8.1);
  const throttled = await inWork();
  await settle(
    db.asWorker,
    throttled.outcomes({ type: 'throttled', errorCode: 'x', errorMessage: 'x', delayMs: 30_000 }),
  );
  expect((await waits(throttled.run.batchId))[0]).toBeGreaterThan(28);
  await Promise.all([retried.run.close(), throttled.run.close()]);
});

test('a lease that ends is followed by a wait, and one that has not ended goes on', async () => {
  const { run } = await inWork();
  expect(await expireLeases(db.asWorker)).toBe(0);
  await db.query(
    sql('test.crashed')`update research_jobs set crash_count = 2 where batch_id = ${run.batchId}`,
  );
  await run.makeLeasesExpire();
  expect(await expireLeases(db.asWorker)).toBe(40);
  expect((await waits(run.batchId)).at(-1)).toBeGreaterThan(4);
  const told = await db.query(sql('test.told')`
    select distinct a.outcome, a.finished_at is not null as finished from research_attempts a
    join research_jobs j on j.id = a.job_id where j.batch_id = ${run.batchId}`);
  expect(told).toEqual([{ outcome: 'crashed', finished: true }]);
  await run.close();
});
