import { DatabaseUnavailable, type Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { claim } from '../../core/research/claim.ts';
import { dispatch } from '../../core/research/dispatch.ts';
import type { Outcome, Settled } from '../../core/research/settle.ts';
import { settler } from '../../core/research/settler.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { completeAll, type Reply } from '../support/provider.ts';
import { type RunOptions, startRun } from '../support/run.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());
const aRun = (options?: RunOptions, respond: () => Reply = () => ({})) =>
  startRun(db, (ask) => (respond().status ? respond() : completeAll(ask)), options);

/** The worker's database, of which `fail` may refuse a statement. */
function over(fail: (statement: string) => Error | undefined): Db {
  const of = (inner: Db): Db => ({
    query: (statement) => {
      const error = fail(statement.statement);
      return error ? Promise.reject(error) : inner.query(statement);
    },
    transaction: (work) => inner.transaction((tx) => work(of(tx))),
  });
  return of(db.asWorker);
}

test('an ask for which there is no time is not made, and its jobs are due again, unharmed', async () => {
  const run = await aRun({ companies: 25, timeoutMs: 30_000, maxRetries: 0 });
  const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  // Enough to claim, and less than the provider may take and the settle needs.
  await dispatch(run.conveyor.deps, ids, { remainingMs: () => 34_000 });
  expect(run.remote.asks).toEqual([]);
  expect(await run.jobs()).toMatchObject(
    Array(25).fill({
      status: 'queued',
      leased: false,
      retry_count: 0,
      crash_count: 0,
      throttle_count: 0,
      fed: true,
    }),
  );
  expect(run.conveyor.sent.flatMap((message) => message.body.jobIds)).toHaveLength(25);
  const attempts = await db.query(sql('test.attempts')`
    select distinct outcome from research_attempts a join research_jobs j on j.id = a.job_id where j.batch_id = ${run.batchId}`);
  expect(attempts).toEqual([{ outcome: 'released' }]);
  await run.close();
});

test('a probe that was not made for want of time is free for the next claim at once', async () => {
  const run = await aRun({ companies: 5, timeoutMs: 30_000 });
  const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  await db.query(sql('test.open')`
    update research_providers set circuit = 'open', circuit_reason = 'http_500', circuit_trips = 1, paused_until = now() where id = ${run.provider.id}`);
  await dispatch(run.conveyor.deps, ids, { remainingMs: () => 34_000 });
  expect(run.remote.asks).toEqual([]);
  const again = await claim(db.asWorker, ids, { leaseSeconds: 60 });
  expect(again.flatMap((ask) => ask.jobs)).toHaveLength(1);
  await run.close();
});

test('answers outlive a database that is away for a moment: nothing is asked twice', async () => {
  const run = await aRun({ companies: 10 });
  const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  let away = 3;
  const flaky = over((statement) =>
    statement === 'research.settle' && away-- > 0 ? new DatabaseUnavailable() : undefined,
  );
  await dispatch({ ...run.conveyor.deps, db: flaky }, ids, { remainingMs: () => 60_000 });
  expect((await run.jobs()).map((job) => job.status)).toEqual(Array(10).fill('completed'));
  expect(run.remote.asks).toHaveLength(1);
  expect(await run.batch()).toMatchObject({ status: 'completed' });
  await run.close();
});

test('an invocation whose answers could not be written fails, so that it is seen', async () => {
  const run = await aRun({ companies: 3 });
  const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  const broken = over((statement) =>
    statement === 'research.settle' ? new Error('no such column') : undefined,
  );
  const dispatching = dispatch({ ...run.conveyor.deps, db: broken }, ids, { remainingMs: () => 60_000 });
  await expect(dispatching).rejects.toThrow('no such column');
  await run.close();
});

test('what was answered is written while others are still awaited', async () => {
  const run = await aRun({ companies: 2, batchSize: 1 });
  const ids = (await run.jobs()).map((job) => job.id);
  const [first, second] = (await claim(db.asWorker, ids, { leaseSeconds: 60 })).flatMap((ask) => ask.jobs);
  const done = (job: typeof first): Outcome[] => [
    { jobId: job?.id ?? '', attemptId: job?.attempt_id ?? '', type: 'completed' },
  ];
  const written: Settled[] = [];
  let wrote = (): void => undefined;
  const isWritten = new Promise<void>((resolve) => {
    wrote = resolve;
  });
  const settling = settler(run.conveyor.deps, {
    remainingMs: () => 60_000,
    async afterWrite(settled) {
      written.push(...settled);
      wrote();
    },
  });
  settling.add(done(first));
  // A process that dies now loses nothing of the first, though `finish` was never called.
  await isWritten;
  expect(written.map((job) => job.job_id)).toEqual([first?.id]);
  settling.add(done(second));
  expect(await settling.finish()).toHaveLength(2);
  expect((await run.jobs()).map((job) => job.status)).toEqual(['completed', 'completed']);
  await run.close();
});
