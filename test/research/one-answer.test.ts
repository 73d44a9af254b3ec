import { sql } from '../../core/db/sql.ts';
import { claim } from '../../core/research/claim.ts';
import { dispatch } from '../../core/research/dispatch.ts';
import { type Outcome, settle } from '../../core/research/settle.ts';
import { jobsOf } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import type { AskBody, Reply } from '../support/provider.ts';
import { type RunOptions, startRun } from '../support/run.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());
const plenty = { remainingMs: () => 60_000 };

type Request = AskBody['requests'][number];
const completed = ({ jobId, attemptId }: Request, more: object = {}) => ({
  jobId,
  attemptId,
  status: 'completed',
  research: { summary: 'found' },
  ...more,
});
/** Asks once, and the provider answers with these results for each request. */
async function answered(
  resultsOf: (request: Request) => unknown[],
  { afterwards, ...options }: RunOptions & { afterwards?: (request: Request) => unknown[] } = {},
) {
  const respond = (ask: AskBody, count: number): Reply => ({
    body: { results: ask.requests.flatMap(count > 1 && afterwards ? afterwards : resultsOf) },
  });
  const run = await startRun(db, respond, { companies: 3, ...options });
  await run.deliver();
  return run;
}
const peopleOf = (tenantId: string) =>
  db.query(sql('test.people')`
    select full_name as name, email, title, attributes, version from prospect_research where user_id = ${tenantId} order by natural_key`);
const allDone = (companies = 3) => Array(companies).fill('completed');

test('in one answer, a sign of life before the result does not hide it', async () => {
  const run = await answered((request) => [
    { ...completed(request), status: 'processing' },
    completed(request),
  ]);
  expect((await run.jobs()).map((job) => job.status)).toEqual(allDone());
  await run.close();
});

test('in one answer, the first of two results counts', async () => {
  const no = { status: 'failed', error: { code: 'x', message: 'x' } };
  const run = await answered((request) => [completed(request), { ...completed(request), ...no }]);
  expect((await run.jobs()).map((job) => job.status)).toEqual(allDone());
  await run.close();
});

test('an answer to our own request needs no more than the id of its job, in whatever case', async () => {
  const run = await answered((request) => [
    completed({ ...request, jobId: request.jobId.toUpperCase(), attemptId: request.jobId }),
  ]);
  expect((await run.jobs()).map((job) => job.status)).toEqual(allDone());
  await run.close();
});

test('what is no result fails the job that it names, at once', async () => {
  const run = await answered(({ jobId }) => [{ jobId: jobId.toUpperCase(), status: 'done' }]);
  expect(await run.jobs()).toMatchObject(Array(3).fill({ status: 'failed', error_code: 'invalid_result' }));
  await run.close();
});

test('a person who is named twice in one result is kept once, and costs no other result', async () => {
  const twice = [
    { fullName: 'Ada', email: 'ada@x.example' },
    { fullName: 'Ada', email: 'ADA@x.example' },
  ];
  const run = await answered((request) => [completed(request, { prospects: twice })]);
  expect((await run.jobs()).map((job) => job.status)).toEqual(allDone());
  expect(await peopleOf(run.tenantId)).toHaveLength(3);
  await run.close();
});

test('a second result adds to what is known of a person, and takes nothing away', async () => {
  const first = { fullName: 'Ada', email: 'ada@x.example', title: 'CTO', seniority: 'high' };
  const second = { email: 'ada@x.example', title: 'CEO', city: 'London' };
  const run = await answered((request) => [completed(request, { prospects: [first] })], {
    companies: 1,
    afterwards: (request) => [completed(request, { prospects: [second] })],
  });
  await run.conveyor.start(run.tenantId, run.campaignId);
  await run.deliver();
  const attributes = { seniority: 'high', city: 'London' };
  expect(await peopleOf(run.tenantId)).toEqual([
    { name: 'Ada', email: 'ada@x.example', title: 'CEO', attributes, version: 2 },
  ]);
  await run.close();
});

test('two batches that ask for the same companies are settled together, both to their end', async () => {
  const run = await startRun(db, () => ({}), { companies: 3, batchSize: 100 });
  const other = await run.conveyor.start(run.tenantId, run.campaignId);
  const ids = [...(await run.jobs()), ...(await jobsOf(db, other))].map((job) => job.id);
  const asks = await claim(db.asWorker, ids, { leaseSeconds: 60 });
  const outcomes = asks.flatMap((ask) =>
    ask.jobs.map(
      (job): Outcome => ({
        jobId: job.id,
        attemptId: job.attempt_id,
        type: 'completed',
        prospects: [
          {
            naturalKey: 'a',
            fullName: 'A',
            email: null,
            title: null,
            phone: null,
            linkedin: null,
            attributes: {},
          },
        ],
      }),
    ),
  );
  expect(await settle(db.asWorker, outcomes)).toHaveLength(6);
  const [kept] = await db.query(sql('test.kept')`
    select count(*) as findings, sum(generation)::int as generations from company_research where campaign_id = ${run.campaignId}`);
  expect(kept).toEqual({ findings: 3, generations: 3 });
  await run.close();
});

test('a job that cannot be written at all costs no other its result, and is told', async () => {
  const run = await startRun(db, () => ({}), { companies: 4, batchSize: 100 });
  const [ask] = await claim(
    db.asWorker,
    (await run.jobs()).map((job) => job.id),
    { leaseSeconds: 60 },
  );
  const jobs = ask?.jobs ?? [];
  await db.query({
    statement: 'test.refuse',
    text: `create function refuse() returns trigger language plpgsql as $f$
        begin if new.id = '${jobs[0]?.id}' and new.finished_at is not null then raise exception 'no' using errcode = '22000'; end if;
        return new; end $f$;
      create trigger refuse before update on research_jobs for each row execute function refuse()`,
    values: [],
  });
  const outcomes = jobs.map(
    (job): Outcome => ({ jobId: job.id, attemptId: job.attempt_id, type: 'completed' }),
  );
  await expect(settle(db.asWorker, outcomes)).rejects.toMatchObject({ code: '22000' });
  expect((await run.jobs()).map((job) => job.status).sort()).toEqual([...allDone(3), 'processing']);
  await db.query(sql('test.allow')`drop trigger refuse on research_jobs`);
  await run.close();
});

test('a provider that complains is asked no more in this invocation, and what it was not asked is due again, unharmed', async () => {
  const run = await startRun(db, () => ({ status: 429, headers: { 'retry-after': '60' } }), {
    companies: 40,
    batchSize: 10,
    maxRetries: 0,
  });
  run.conveyor.deps.concurrency = 1;
  const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  await dispatch(run.conveyor.deps, ids, plenty);
  expect(run.remote.asks).toHaveLength(1);
  const jobs = await run.jobs();
  expect(jobs).toMatchObject(
    Array(40).fill({ status: 'queued', retry_count: 0, crash_count: 0, leased: false }),
  );
  expect(jobs.filter((job) => job.throttle_count === 1)).toHaveLength(10);
  await run.close();
});
