import { connect, DatabaseUnavailable, type Db } from '../../core/db/connect.ts';
import { dispatch } from '../../core/research/dispatch.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { completeAll } from '../support/provider.ts';
import { aRelay } from '../support/relay.ts';
import { startRun } from '../support/run.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

test('what was answered while the database fell silent is written once it is back, and nobody is asked again', async () => {
  const relay = await aRelay(new URL(db.asWorker.url));
  let isSilent = false;
  const run = await startRun(
    db,
    (ask) => {
      if (!isSilent) relay.goSilent();
      isSilent = true;
      return completeAll(ask);
    },
    { companies: 5 },
  );
  const worker = connect(relay.url, { statementTimeoutMs: 500 });
  const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  const error = await dispatch({ ...run.conveyor.deps, db: worker }, ids, {
    remainingMs: () => 60_000,
  }).catch((error: unknown) => error);
  const jobs = await run.jobs();
  await worker.close();
  await relay.close();
  await run.close();
  expect([error, isSilent, run.remote.asks.length]).toEqual([undefined, true, 1]);
  expect(jobs.map((job) => job.status)).toEqual(Array(5).fill('completed'));
});

/** The database, which fails a number of transactions before it is back. */
function awayFor(transactions: number): { db: Db; failed: () => number } {
  let failed = 0;
  const away: Db = {
    query: (statement) => db.asWorker.query(statement),
    transaction(work) {
      if (failed === transactions) return db.asWorker.transaction(work);
      failed++;
      return Promise.reject(new DatabaseUnavailable());
    },
  };
  return { db: away, failed: () => failed };
}

test('an event whose claim finds the database away waits for it, as long as it is worth asking', async () => {
  const run = await startRun(db, completeAll, { companies: 5 });
  const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  const late = awayFor(1);
  const error = await dispatch({ ...run.conveyor.deps, db: late.db }, ids, {
    remainingMs: () => (late.failed() === 0 ? 60_000 : 10_000),
  }).catch((error: unknown) => error);
  const away = awayFor(2);
  await dispatch({ ...run.conveyor.deps, db: away.db }, ids, { remainingMs: () => 60_000 });
  const jobs = await run.jobs();
  await run.close();
  expect(error).toBeInstanceOf(DatabaseUnavailable);
  expect([late.failed(), away.failed()]).toEqual([1, 2]);
  expect(jobs.map((job) => job.status)).toEqual(Array(5).fill('completed'));
});
