import { sql } from '../../core/db/sql.ts';
import { applyResults, findAsk } from '../../core/research/callback.ts';
import { expireLeases } from '../../core/research/leases.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { type AskBody, completeAll } from '../support/provider.ts';
import { type RunOptions, startRun } from '../support/run.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

/** Jobs that a provider took with a 202, and what it calls back with. */
async function handedOver(options: RunOptions = {}) {
  const run = await startRun(db, () => ({ status: 202 }), { companies: 2, leaseSeconds: 1_200, ...options });
  const fed = run.conveyor.sent.length;
  await run.deliver();
  const [ask] = run.remote.asks as [AskBody];
  run.conveyor.sent.splice(0);
  return {
    ...run,
    fed,
    async callBack(results: unknown[]) {
      const found = await findAsk(db, ask.askId);
      if (!found) throw new Error('no ask');
      return applyResults(run.conveyor.deps, found, results);
    },
    said: (status: string, more: object = {}) =>
      ask.requests.map(({ jobId, attemptId }) => ({ jobId, attemptId, status, ...more })),
    completed: (completeAll(ask).body as { results: unknown[] }).results,
    async leases() {
      const rows = await db.query<{ minutes: number }>(sql('test.leases')`
        select extract(epoch from lease_until - now())::float8 / 60 as minutes from research_jobs where batch_id = ${run.batchId}`);
      return rows.map((row) => Math.round(row.minutes));
    },
  };
}

test('a job that a provider took is its own for as long as the provider may take, not for as long as we live', async () => {
  const run = await handedOver();
  expect(await run.leases()).toEqual([20, 20]);
  expect(await expireLeases(db.asWorker)).toBe(0);
  await run.close();
});

test('a sign of life renews the lease, whenever it comes, and neither ends the job nor uses up an attempt', async () => {
  const run = await handedOver();
  for (let n = 0; n < 2; n++) {
    await db.query(sql('test.minute')`
      update research_jobs set lease_until = now() + interval '1 minute' where batch_id = ${run.batchId}`);
    expect(await run.callBack(run.said('processing'))).toMatchObject({ applied: 2, stale: 0 });
    expect(await run.leases()).toEqual([20, 20]);
    expect(await run.jobs()).toMatchObject(Array(2).fill({ status: 'processing', retry_count: 0 }));
  }
  await run.makeLeasesExpire();
  await expireLeases(db.asWorker);
  // The provider had it: that is a try, and no crash of ours.
  expect(await run.jobs()).toMatchObject(Array(2).fill({ status: 'queued', retry_count: 1, crash_count: 0 }));
  await run.close();
});

test('a sign of life beside the result of the same job does not hide it', async () => {
  const run = await handedOver();
  expect(await run.callBack([...run.said('processing'), ...run.completed])).toMatchObject({ applied: 2 });
  expect((await run.jobs()).map((job) => job.status)).toEqual(['completed', 'completed']);
  const other = await handedOver();
  expect(await other.callBack([...other.completed, ...other.said('processing')])).toMatchObject({
    applied: 2,
  });
  expect((await other.jobs()).map((job) => job.status)).toEqual(['completed', 'completed']);
  await Promise.all([run.close(), other.close()]);
});

test('a callback that ends the last job ends its batch, be it with a failure', async () => {
  const run = await handedOver();
  await run.callBack(run.said('failed', { error: { code: 'x', message: 'x' } }));
  expect(await run.batch()).toMatchObject({ status: 'completed' });
  await run.close();
});

test('a callback that frees permits feeds as many, and one that asks for another try feeds that', async () => {
  const limited = await handedOver({ companies: 6, concurrency: 2 });
  expect(limited.fed).toBe(1);
  await limited.callBack(limited.completed);
  expect(limited.conveyor.sent.flatMap((message) => message.body.jobIds)).toHaveLength(2);
  const again = await handedOver();
  await again.callBack(again.said('failed', { error: { code: 'x', message: 'x', retryable: true } }));
  expect(again.conveyor.sent.flatMap((message) => message.body.jobIds)).toHaveLength(2);
  await Promise.all([limited.close(), again.close()]);
});
