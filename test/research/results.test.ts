import { sql } from '../../core/db/sql.ts';
import { applyResults, findAsk } from '../../core/research/callback.ts';
import { claim } from '../../core/research/claim.ts';
import { type Outcome, settle } from '../../core/research/settle.ts';
import { untilBlocked } from '../support/blocked.ts';
import { aConveyor, countOf, jobsOf } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aWorld, someCompanies } from '../support/factories.ts';
import { completeAll } from '../support/provider.ts';
import { type Respond, type RunOptions, startRun } from '../support/run.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase({ max: 6 });
});
afterAll(() => db.close());

/** A batch that was asked once, and the callback of that ask. */
async function asked(respond: Respond, options: RunOptions = {}) {
  const run = await startRun(db, respond, options);
  await run.deliver();
  const [ask] = run.remote.asks;
  const found = ask && (await findAsk(db, ask.askId));
  if (!found) throw new Error('nobody was asked');
  const requests = ask.requests.map(({ jobId, attemptId }) => ({ jobId, attemptId }));
  const callback = (results: unknown[], deps: Parameters<typeof applyResults>[0] = run.conveyor.deps) =>
    applyResults(deps, found, results);
  return { ...run, ask, requests, callback };
}
const accept = () => ({ status: 202 });
const hang = () => ({ hang: true });

test.each([
  ['no error', { status: 'failed' }, 'the provider gave no reason'],
  ['null as its error', { status: 'failed', error: null }, 'the provider gave no reason'],
  ['a text as its error', { status: 'failed', error: 'no such company' }, 'no such company'],
])('a failed result with %s fails its job', async (_, result, message) => {
  const run = await asked(accept, { companies: 1 });
  const answer = await run.callback([{ ...run.requests[0], ...result }]);
  const jobs = await run.jobs();
  await run.close();
  expect(answer).toEqual({ applied: 1, stale: 0, rejected: [] });
  expect(jobs).toMatchObject([{ status: 'failed', error_code: 'provider_failed', error_message: message }]);
});

test.each([
  ['status', { status: 'error' }],
  ['error', { status: 'failed', error: 7 }],
  ['error.code', { status: 'failed', error: { code: 7 } }],
])(
  'a callback whose %s is not valid fails its job, as an answer at once does, and says so',
  async (path, result) => {
    const run = await asked(accept, { companies: 2 });
    const [first, second] = run.requests;
    const completed = { ...second, status: 'completed', research: 'about' };
    const answer = await run.callback([{ ...first, ...result }, { ...second, ...result }, completed]);
    const jobs = await run.jobs();
    const again = await run.callback([{ ...first, ...result }]);
    await run.close();
    expect(answer).toMatchObject({
      applied: 1,
      stale: 0,
      rejected: [
        { index: 0, path: `results.0.${path}` },
        { index: 1, path: `results.1.${path}` },
      ],
    });
    expect(jobs.find((job) => job.id === first?.jobId)).toMatchObject({
      status: 'failed',
      error_code: 'invalid_result',
      error_message: expect.stringContaining(`results.0.${path}`),
    });
    expect(jobs.find((job) => job.id === second?.jobId)).toMatchObject({ status: 'completed' });
    expect(again).toMatchObject({ applied: 0, stale: 0, rejected: [{ index: 0 }] });
  },
);

test('an unreadable result that names the job of another ask changes nothing', async () => {
  const [run, other] = [await asked(accept, { companies: 1 }), await asked(accept, { companies: 1 })];
  const answers = [
    await run.callback([{ ...other.requests[0], status: 'error' }]),
    await run.callback([
      { jobId: run.requests[0]?.jobId, attemptId: other.requests[0]?.attemptId, status: 'error' },
    ]),
  ];
  const jobs = [...(await run.jobs()), ...(await other.jobs())];
  await Promise.all([run.close(), other.close()]);
  expect(answers).toMatchObject(Array(2).fill({ applied: 0, stale: 0, rejected: [{ index: 0 }] }));
  expect(jobs).toMatchObject(Array(2).fill({ status: 'processing' }));
});

test.each([
  ['a no for good counts', { status: 'failed', error: { code: 'no', retryable: false } }, 'failed', 1],
  [
    'a failure to be tried again does not count',
    { status: 'failed', error: { retryable: true } },
    'queued',
    2,
  ],
  ['a sign of life does not count', { status: 'processing' }, 'queued', 2],
])('late, while the job waits for its retry, %s', async (_, result, status, asks) => {
  const run = await asked(hang, { companies: 1, timeoutMs: 300, maxRetries: 3 });
  const answer = await run.callback([{ ...run.requests[0], ...result }]);
  const [job] = await run.jobs();
  await run.unpause();
  await run.deliver();
  await run.close();
  expect(answer).toEqual({ applied: 2 - asks, stale: asks - 1, rejected: [] });
  expect(job).toMatchObject({ status, fed: status === 'queued' });
  expect(run.remote.asks).toHaveLength(asks);
});

test('a callback that was applied is answered so, though the queue is away', async () => {
  const run = await asked(accept, { companies: 2, concurrency: 1, batchSize: 1 });
  const told: string[] = [];
  const warn = (event: string) => void told.push(event);
  const deps = {
    ...run.conveyor.deps,
    queue: { send: () => Promise.reject(new Error('SQS is away')) },
    log: { info: () => undefined, warn },
  };
  const { results } = completeAll(run.ask).body as { results: unknown[] };
  const answer = await run.callback(results, deps).catch((error: unknown) => error);
  const jobs = await run.jobs();
  await run.close();
  expect(answer).toEqual({ applied: 1, stale: 0, rejected: [] });
  expect(told).toEqual(['research.callback_feed_failed']);
  expect(jobs.map((job) => [job.status, job.fed]).sort()).toEqual([
    ['completed', false],
    ['queued', false],
  ]);
});

test('a late result that meets an archive costs its siblings nothing', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 1 });
  const campaignIds = [campaignId, await aCampaign(db, tenantId), await aCampaign(db, tenantId)];
  for (const id of campaignIds.slice(1)) await someCompanies(db, tenantId, id, 1);
  const conveyor = aConveyor(db);
  const [archived = '', running = '', cancelled = ''] = await Promise.all(
    campaignIds.map((id) => conveyor.start(tenantId, id)),
  );
  const ids = conveyor.sent.flatMap((message) => message.body.jobIds);
  const asks = await claim(db.asWorker, ids, { leaseSeconds: 60 });
  const outcomes = asks.flatMap(({ jobs }) =>
    jobs.map((job): Outcome => ({ jobId: job.id, attemptId: job.attempt_id, type: 'completed' })),
  );
  await db.query(sql('test.cancel')`
    update research_jobs set status = 'cancelled', lease_until = null, finished_at = now()
    where batch_id in (${archived}, ${cancelled})`);
  const settling = await db.transaction(async (tx) => {
    await tx.query(sql('test.lock')`select from campaigns where id = ${campaignId} for update`);
    await tx.query(sql('test.archive')`
      update campaigns set archived = true, archived_at = now() where id = ${campaignId}`);
    const settled = settle(db.asWorker, outcomes).catch((error: unknown) => error);
    await untilBlocked(db);
    return { settled };
  });
  const settled = await settling.settled;
  const jobs = await jobsOf(db, running);
  await conveyor.close();
  expect(settled).toMatchObject([{ status: 'completed' }]);
  expect(jobs).toMatchObject([{ status: 'completed' }]);
  expect(await countOf(db, sql('test.late')`select count(*) from late_results`)).toBe(1);
});
