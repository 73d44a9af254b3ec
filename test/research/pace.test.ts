import { sql } from '../../core/db/sql.ts';
import { feed } from '../../core/research/feed.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { completeAll } from '../support/provider.ts';
import { startRun } from '../support/run.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

type Run = Awaited<ReturnType<typeof startRun>>;

/** Delivers what comes without a delay, as a queue does, until nothing does. @returns how often it had to */
async function deliverPrompt(run: Run, { atMost = 20 } = {}): Promise<number> {
  let deliveries = 0;
  for (; deliveries < atMost; deliveries++) {
    const prompt = run.conveyor.sent.filter((message) => message.delaySeconds === 0);
    if (prompt.length === 0) break;
    run.conveyor.sent.splice(0, Infinity, ...prompt);
    await run.deliver();
  }
  return deliveries;
}

const noPermits = (run: Run) =>
  db.query(sql('test.permits')`
    update research_providers set permits = 0, permits_at = now() where id = ${run.provider.id}`);

const delaysOf = (run: Run) => run.conveyor.sent.map((message) => message.delaySeconds);

test.each([
  ['one job in 100 s, one job', 0.01, 1, 1],
  ['one job in 100 s, five jobs', 0.01, 5, 1],
  ['one job in 5 s, in batches', 0.2, 5, 10],
])(
  'what comes before its rate has a permit waits on the queue: %s',
  async (_, ratePerSecond, companies, batchSize) => {
    const run = await startRun(db, completeAll, { companies, ratePerSecond, batchSize });
    await noPermits(run);
    // As if they came early, all of them: they were fed by the clock of another moment.
    await run.deliver();
    expect(run.remote.asks).toHaveLength(0);
    expect(Math.min(...delaysOf(run))).toBeGreaterThan(0);
    expect(await deliverPrompt(run)).toBe(0);
    await run.close();
  },
);

test('a provider that is asked once in minutes has one job on the queue, however often the feed comes by', async () => {
  const run = await startRun(db, completeAll, { companies: 5, ratePerSecond: 0.005, batchSize: 1 });
  await noPermits(run);
  run.conveyor.sent.splice(0);
  await db.query(sql('test.unfed')`
    update research_jobs set fed_until = null where batch_id = ${run.batchId}`);
  for (let n = 0; n < 3; n++) await feed(run.conveyor.deps, { providerIds: [run.provider.id] });
  expect(delaysOf(run)).toEqual([200]);
  await run.close();
});

test('a quota that asks under way have used up is waited for', async () => {
  const run = await startRun(db, completeAll, { companies: 500 });
  await db.query(sql('test.quota')`
    update research_providers set quota_asks = 0, quota_until = now() + interval '5 minutes' where id = ${run.provider.id}`);
  expect(await deliverPrompt(run)).toBe(1);
  expect(run.remote.asks).toHaveLength(0);
  // They are there again when it is filled.
  const delays = delaysOf(run);
  expect(Math.min(...delays)).toBeGreaterThan(290);
  expect(Math.max(...delays)).toBeLessThanOrEqual(300);
  await run.close();
});

test('of a quota no more is fed than it has left, and nothing circulates once the last ask stays unanswered', async () => {
  const run = await startRun(
    db,
    (ask, count) =>
      count === 1
        ? {
            ...completeAll(ask),
            headers: { 'x-ratelimit-remaining': '2', 'x-ratelimit-reset-after': '3600' },
          }
        : { hang: true },
    { companies: 1_000, timeoutMs: 500, batchSize: 10 },
  );
  const [first] = run.conveyor.sent.splice(0);
  if (!first) throw new Error('nothing was fed');
  await db.query(sql('test.unfed')`
    update research_jobs set fed_until = null where batch_id = ${run.batchId}`);
  run.conveyor.sent.push({ ...first, body: { v: 1, jobIds: first.body.jobIds.slice(0, 10) } });
  await run.deliver();
  expect(run.conveyor.sent.flatMap((message) => message.body.jobIds)).toHaveLength(20);
  expect(await deliverPrompt(run)).toBe(1);
  expect(run.remote.asks).toHaveLength(3);
  expect(await run.health()).toMatchObject({ quota: 0, paused: false });
  await run.close();
});
