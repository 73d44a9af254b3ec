import { sql } from '../../core/db/sql.ts';
import { applyResults, findAsk } from '../../core/research/callback.ts';
import { takeDeadLetters } from '../../core/research/dead-letters.ts';
import { dispatch } from '../../core/research/dispatch.ts';
import type { OutgoingMessage } from '../../core/research/queue.ts';
import { sweep } from '../../core/research/sweep.ts';
import { deadLetter } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { type AskBody, completeAll, type Reply } from '../support/provider.ts';
import { type Respond, type RunOptions, startRun } from '../support/run.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());
const aRun = (respond: Respond, options?: RunOptions) => startRun(db, respond, options);
const plenty = { remainingMs: () => 60_000 };
const accept = (): Reply => ({ status: 202 });
const resultsOf = (ask: AskBody) => (completeAll(ask).body as { results: unknown[] }).results;

/** Runs invocations, each of which "dies" the moment it asks about the poisonous company: nothing after is settled. */
async function drainWithPoison(run: Awaited<ReturnType<typeof aRun>>, poison: string) {
  const died = new Error('out of memory');
  let deaths = 0;
  for (let round = 0; round < 40; round++) {
    const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
    let dead = false;
    const living = <Value>(value: Value): Value => {
      if (dead) throw died;
      return value;
    };
    const alive = run.conveyor.deps;
    const mortal = {
      ...alive,
      db: {
        query: (statement: Parameters<typeof alive.db.query>[0]) => living(alive.db).query(statement),
        transaction: (work: Parameters<typeof alive.db.transaction>[0]) => living(alive.db).transaction(work),
      } as typeof alive.db,
    };
    const kill = alive.http.dispatch.bind(alive.http);
    mortal.http = new Proxy(alive.http, {
      get: (target, key) =>
        key === 'dispatch'
          ? (options: { body?: unknown }, handler: never) => {
              if (String(options.body).includes(poison)) dead = true;
              return kill(options as never, handler);
            }
          : Reflect.get(target, key),
    });
    await dispatch(mortal, ids, plenty).catch((error: unknown) => {
      if (error !== died) throw error;
      deaths++;
    });
    await run.makeLeasesExpire();
    await run.unpause();
    await db.query(sql('test.lost')`
      update research_jobs set fed_until = now() - interval '1 s' where batch_id = ${run.batchId} and fed_until is not null`);
    await sweep(alive, plenty);
    await run.unpause();
    await db.query(sql('test.lost')`
      update research_jobs set fed_until = now() - interval '1 s' where batch_id = ${run.batchId} and fed_until is not null`);
    run.conveyor.sent.splice(0);
    await sweep(alive, plenty);
    if ((await run.jobs()).every((job) => job.status !== 'queued' && job.status !== 'processing')) break;
  }
  return deaths;
}

test('of thirty jobs that crash together only the poisonous one fails, and no other lost an attempt', async () => {
  const run = await aRun(completeAll, { companies: 30, maxRetries: 0 });
  const deaths = await drainWithPoison(run, 'company-17.example');
  const jobs = await run.jobs();
  const failed = jobs.filter((job) => job.status === 'failed');
  expect(failed).toMatchObject([{ error_code: 'crashed', crash_count: 5 }]);
  const rest = jobs.filter((job) => job !== failed[0]);
  expect(rest).toMatchObject(Array(29).fill({ status: 'completed', retry_count: 0 }));
  // All together, side by side, eight at a time, then alone until it is given up.
  expect(deaths).toBe(5);
  await run.close();
});

test('suspects for whom there is no time leave the conveyor unclaimed, due as before', async () => {
  const run = await aRun(completeAll, { companies: 5 });
  await db.query(
    sql('test.suspects')`update research_jobs set crash_count = 1 where batch_id = ${run.batchId}`,
  );
  const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  await dispatch(run.conveyor.deps, ids, { remainingMs: () => 9_000 });
  expect(run.remote.asks).toHaveLength(0);
  expect(await run.jobs()).toMatchObject(
    Array(5).fill({ status: 'queued', crash_count: 1, attempt_id: null, fed: true }),
  );
  expect(run.conveyor.sent.flatMap((message) => message.body.jobIds)).toHaveLength(5);
  await run.close();
});

/** Five messages one after the other that nobody could process. */
async function dieFiveTimes(run: Awaited<ReturnType<typeof aRun>>) {
  for (let visit = 1; visit <= 5; visit++) {
    const letters = run.conveyor.sent.splice(0).map((message) => deadLetter(message));
    expect(letters).toHaveLength(visit < 4 ? 1 : 2);
    await takeDeadLetters(run.conveyor.deps, 'research', letters);
    await run.unpause();
    await sweep(run.conveyor.deps, plenty);
  }
}

test('dead letters send their jobs in smaller messages, down to one, and give up what never gets anywhere', async () => {
  const run = await aRun(() => ({ status: 500 }), { companies: 2, maxRetries: 3 });
  await run.deliver();
  // Both due at once, or chance would have them travel apart.
  run.conveyor.sent.length = 0;
  await db.query(sql('test.due')`
    update research_jobs set run_at = now(), fed_until = null where batch_id = ${run.batchId}`);
  await sweep(run.conveyor.deps, plenty);
  await dieFiveTimes(run);
  expect(await run.jobs()).toMatchObject(Array(2).fill({ status: 'failed', error_code: 'crashed' }));
  expect(await run.batch()).toMatchObject({ status: 'completed' });
  await run.close();
});

test('dead letters give up no job that nobody ever tried', async () => {
  const run = await aRun(completeAll, { companies: 2 });
  await dieFiveTimes(run);
  expect(await run.jobs()).toMatchObject(Array(2).fill({ status: 'queued', crash_count: 5, fed: true }));
  await run.conveyor.drain();
  expect((await run.jobs()).map((job) => job.status)).toEqual(['completed', 'completed']);
  await run.close();
});

test('a dead letter touches no job that is on the conveyor under a newer message', async () => {
  const run = await aRun(completeAll, { companies: 3 });
  const [old] = run.conveyor.sent.splice(0) as [OutgoingMessage];
  await db.query(sql('test.lost')`
    update research_jobs set fed_until = now() - interval '1 s' where batch_id = ${run.batchId}`);
  await sweep(run.conveyor.deps, plenty);
  const [newer] = run.conveyor.sent as [OutgoingMessage];
  expect(newer.body).toEqual(old.body);
  await takeDeadLetters(run.conveyor.deps, 'research', [deadLetter(old)]);
  expect(await run.jobs()).toMatchObject(Array(3).fill({ crash_count: 0, fed: true }));
  await takeDeadLetters(run.conveyor.deps, 'research', [deadLetter(old), deadLetter(newer)]);
  expect(await run.jobs()).toMatchObject(Array(3).fill({ crash_count: 1, fed: false }));
  await run.close();
});

test('a dead letter without stamps, of an earlier release, leaves its jobs to the sweep', async () => {
  const run = await aRun(completeAll, { companies: 2 });
  const [message] = run.conveyor.sent.splice(0) as [OutgoingMessage];
  const { stamps: _, ...old } = deadLetter(message);
  await takeDeadLetters(run.conveyor.deps, 'research', [old]);
  expect(await run.jobs()).toMatchObject(Array(2).fill({ crash_count: 0, fed: true }));
  await run.close();
});

test('jobs that a rate spreads over a second are all found by the stamps of their message', async () => {
  const run = await aRun(completeAll, { companies: 40, ratePerSecond: 10 });
  const messages = run.conveyor.sent.splice(0);
  expect(messages.length).toBeGreaterThan(1);
  expect(messages.flatMap((message) => message.body.jobIds)).toHaveLength(40);
  for (const message of messages) await takeDeadLetters(run.conveyor.deps, 'research', [deadLetter(message)]);
  expect(await run.jobs()).toMatchObject(Array(40).fill({ crash_count: 1, fed: false }));
  await run.close();
});

const late = (batchId: string) =>
  db.query<{ summary: string }>(sql('test.late')`
    select l.summary from late_results l join research_jobs j on j.id = l.job_id where j.batch_id = ${batchId}`);

test.each([
  ['failed meanwhile', 'failed'],
  ['was cancelled meanwhile', 'cancelled'],
] as const)('a result for a job that %s is kept once, and changes nothing', async (_, status) => {
  const run = await aRun(accept, { companies: 1 });
  await run.conveyor.drain();
  await db.query(sql('test.end')`
    update research_jobs set status = ${status}, error_code = case when ${status} = 'failed' then 'callback_timeout' end,
      lease_until = null, accepted_at = null, finished_at = now() where batch_id = ${run.batchId}`);
  const [ask] = run.remote.asks as [AskBody];
  const found = await findAsk(db, ask.askId);
  if (!found) throw new Error('no ask');
  const before = await run.jobs();
  for (let n = 0; n < 3; n++) {
    expect(await applyResults(run.conveyor.deps, found, resultsOf(ask))).toMatchObject({
      applied: 0,
      stale: 1,
    });
  }
  expect(await run.jobs()).toEqual(before);
  expect(await late(run.batchId)).toEqual([{ summary: 'about Company 1' }]);
  await run.close();
});

test('a result of an attempt that was given up is kept while the next one runs; one repeated is not', async () => {
  const run = await aRun(accept, { companies: 1 });
  await run.conveyor.drain();
  await run.makeLeasesExpire();
  await sweep(run.conveyor.deps, plenty);
  run.conveyor.sent.splice(0);
  await run.unpause();
  await db.query(
    sql('test.unfed')`update research_jobs set fed_until = null where batch_id = ${run.batchId}`,
  );
  await sweep(run.conveyor.deps, plenty);
  await run.conveyor.drain();
  const [first, second] = run.remote.asks as [AskBody, AskBody];
  const answer = async (ask: AskBody) => {
    const found = await findAsk(db, ask.askId);
    if (!found) throw new Error('no ask');
    return applyResults(run.conveyor.deps, found, resultsOf(ask));
  };
  expect(await answer(first)).toMatchObject({ applied: 0, stale: 1 });
  expect(await run.jobs()).toMatchObject([{ status: 'processing' }]);
  expect(await late(run.batchId)).toHaveLength(1);
  expect(await answer(second)).toMatchObject({ applied: 1 });
  expect(await answer(second)).toMatchObject({ applied: 0, stale: 1 });
  expect(await late(run.batchId)).toHaveLength(1);
  await run.close();
});
