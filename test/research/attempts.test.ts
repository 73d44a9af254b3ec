import type { Reads } from '../../bench/schema/explain.ts';
import { runArchive } from '../../core/archive/run.ts';
import { startArchive } from '../../core/archive/start.ts';
import { sql } from '../../core/db/sql.ts';
import { pruneAttempts } from '../../core/research/attempts.ts';
import { sweep } from '../../core/research/sweep.ts';
import { archiver, evenly, restored } from '../support/archive.ts';
import { aConveyor } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';
import { explaining, rowsOf } from '../support/reads.ts';

let db: TestDatabase;
beforeEach(async () => {
  db = await testDatabase();
});
afterEach(() => db.close());

const hasTime = () => true;
/** All there is, and not from a random place on. */
const prune = () => pruneAttempts(db.asWorker, { hasTime, from: 0 });

/** A job for each company, ended by its last attempt, with `earlier` attempts a second apart before that one. */
async function someJobs({ companies = 1, earlier = 2, daysAgo = 91 } = {}) {
  const world = await aWorld(db, { companies });
  const [batch] = await db.query<{ id: string }>(sql('t')`
    with batch as (
      insert into research_batches (user_id, campaign_id, provider_id, kind, status, sealed_at, expanded_at, finished_at)
      values (${world.tenantId}, ${world.campaignId}, ${world.provider.id}, 'company', 'completed', now(), now(), now())
      returning id
    ), job as (
      insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind, status, finished_at, attempt_id)
      select ${world.tenantId}, batch.id, c, ${world.campaignId}, ${world.provider.id}, 'company', 'completed', now(),
        ${idAt(sql.fragment`${earlier}`, daysAgo)}
      from batch, unnest(${world.companyIds}::uuid[]) with ordinality company (c, place) returning id, attempt_id
    ), attempt as (
      insert into research_attempts (id, user_id, job_id, provider_id, ask_id, outcome, finished_at)
      select ${idAt(sql.fragment`n`, daysAgo)}, ${world.tenantId}, job.id, ${world.provider.id}, uuidv7(),
        case when n = ${earlier} then 'completed' else 'throttled' end, now()
      from (select id, right(attempt_id::text, 12)::int as place from job) job, generate_series(0, ${earlier}::int) n
    )
    select id from batch`);
  return { ...world, batchId: batch?.id ?? '' };
}

/** A UUIDv7 of the n-th second of that day, with the place of its job at its end. */
const idAt = (n: ReturnType<typeof sql.fragment>, daysAgo: number) => sql.fragment`(
  lpad(to_hex((extract(epoch from now() - ${daysAgo} * interval '1 day') * 1000)::bigint + ${n}::int * 1000), 12, '0')
  || '70008000' || lpad(place::text, 12, '0'))::uuid`;

const outcomes = async () =>
  (
    await db.query<{ outcome: string; n: number }>(sql('t')`
      select outcome, count(*) as n from research_attempts group by 1 order by 1`)
  ).map(({ outcome, n }) => `${outcome} ${n}`);

test('attempts of ninety days ago are forgotten, but for the last of each job', async () => {
  await someJobs({ companies: 3 });
  await someJobs({ companies: 2, daysAgo: 89 });
  expect(await prune()).toBe(6);
  expect(await outcomes()).toEqual(['completed 5', 'throttled 4']);
  expect(await prune()).toBe(0);
});

test('attempts stay with a job that goes on, and with a late result', async () => {
  const open = await someJobs();
  await db.query(sql('t')`
    update research_jobs set status = 'queued', finished_at = null where batch_id = ${open.batchId}`);
  const late = await someJobs();
  await db.query(sql('t')`
    insert into late_results (attempt_id, user_id, job_id)
    select a.id, a.user_id, a.job_id from research_attempts a join research_jobs j on j.id = a.job_id
    where j.batch_id = ${late.batchId} and a.outcome = 'throttled' order by a.id limit 1`);
  expect(await prune()).toBe(1);
  expect(await outcomes()).toEqual(['completed 2', 'throttled 3']);
});

test('an archive keeps the attempts it found, and gives them back', async () => {
  const { tenantId, campaignId } = await someJobs({ companies: 3 });
  const started = await startArchive(db.asApi.forTenant(tenantId), tenantId, campaignId, {
    cancelOpenJobs: false,
  });
  expect(await prune()).toBe(0);
  await runArchive(archiver(db.asWorker), started.archiveId, evenly());
  expect(await outcomes()).toEqual([]);
  await restored(db, tenantId, started.archiveId);
  expect(await outcomes()).toEqual(['completed 3', 'throttled 6']);
  expect(await prune()).toBe(6);
});

test('what somebody is about to archive is passed over, and he is not waited for', async () => {
  const { campaignId } = await someJobs();
  await db.transaction(async (tx) => {
    await tx.query(sql('t')`select from campaigns where id = ${campaignId} for update`);
    expect(await prune()).toBe(0);
  });
  expect(await prune()).toBe(2);
});

test('pruning goes on while it finds any, and looks at one chunk where all have to stay', async () => {
  await someJobs({ companies: 1_300 });
  expect(await prune()).toBe(2_600);
  const reads = new Map<string, Reads[]>();
  expect(await pruneAttempts(explaining(db.asWorker, reads), { hasTime, from: 0 })).toBe(0);
  expect(reads.get('sweep.attempts')).toHaveLength(1);
  // A thousand attempts, each with its job.
  expect(rowsOf(reads, 'sweep.attempts')).toBeLessThan(4_500);
});

test('the sweep forgets what has come of age since the last one', async () => {
  await someJobs({ companies: 2, daysAgo: 90 + 1 / 48 });
  const conveyor = aConveyor(db);
  await sweep(conveyor.deps, { remainingMs: () => 60_000 });
  expect(await outcomes()).toEqual(['completed 2']);
  await conveyor.close();
});

test('what is older is come by in time, wherever it lies', async () => {
  await someJobs({ companies: 2, daysAgo: 200 });
  for (let sweeps = 0; sweeps < 200 && (await outcomes()).length > 1; sweeps++)
    await pruneAttempts(db.asWorker, { hasTime });
  expect(await outcomes()).toEqual(['completed 2']);
});
