import { startArchive } from '../../core/archive/start.ts';
import { type Statement, sql } from '../../core/db/sql.ts';
import { claim } from '../../core/research/claim.ts';
import { feed } from '../../core/research/feed.ts';
import { expireLeases } from '../../core/research/leases.ts';
import { cancelLeft, endMissed, expandUnfinished, failOverdue } from '../../core/research/overdue.ts';
import type { OutgoingMessage } from '../../core/research/queue.ts';
import { sweep } from '../../core/research/sweep.ts';
import { aConveyor, countOf, jobsOf } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { Died, dying } from '../support/dying.ts';
import { aCampaign, aWorld, someCompanies } from '../support/factories.ts';

let db: TestDatabase;
beforeEach(async () => {
  db = await testDatabase();
});
afterEach(() => db.close());
const plenty = { remainingMs: () => 60_000 };
const always = { hasTime: () => true };

/** Jobs in work, whose leases ended `secondsAgo`. */
async function overdueLeases(companies: number, secondsAgo: number) {
  const world = await aWorld(db, { companies });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(world.tenantId, world.campaignId);
  const ids = (await jobsOf(db, batchId)).map((job) => job.id);
  for (let from = 0; from < ids.length; from += 1_000)
    await claim(db, ids.slice(from, from + 1_000), { leaseSeconds: 60 });
  await db.query(sql('test.over')`
    update research_jobs set lease_until = now() - make_interval(secs => ${secondsAgo}) where batch_id = ${batchId}`);
  return { ...world, conveyor, batchId };
}

test('leases end in chunks, the longest expired first, whoever holds many', async () => {
  const many = await overdueLeases(2_500, 10);
  const few = await overdueLeases(3, 100);
  expect(await expireLeases(db.asWorker)).toBe(1_000);
  expect((await jobsOf(db, few.batchId)).map((job) => job.status)).toEqual(Array(3).fill('queued'));
  expect([
    await expireLeases(db.asWorker),
    await expireLeases(db.asWorker),
    await expireLeases(db.asWorker),
  ]).toEqual([1_000, 503, 0]);
  await Promise.all([many.conveyor.close(), few.conveyor.close()]);
});

test('two sweeps at once end each lease once', async () => {
  const { conveyor, batchId } = await overdueLeases(1_500, 10);
  await Promise.all([
    sweep(conveyor.deps, plenty),
    sweep(conveyor.deps, plenty),
    sweep(conveyor.deps, plenty),
  ]);
  const jobs = await jobsOf(db, batchId);
  expect(new Set(jobs.map((job) => `${job.status} ${job.crash_count} ${job.retry_count}`))).toEqual(
    new Set(['queued 1 0']),
  );
  await conveyor.close();
});

test('jobs locked by somebody else are passed over, and none waits for them', async () => {
  const { conveyor, batchId } = await overdueLeases(5, 10);
  await db.transaction(async (tx) => {
    await tx.query(sql('test.hold')`
      select id from research_jobs where batch_id = ${batchId} order by id limit 2 for update`);
    expect(await expireLeases(db.asWorker)).toBe(3);
  });
  expect(await expireLeases(db.asWorker)).toBe(2);
  await conveyor.close();
});

/** Jobs that are due and not on the conveyor. */
async function unfed(companies: number) {
  const world = await aWorld(db, { companies });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(world.tenantId, world.campaignId);
  conveyor.sent.splice(0);
  await db.query(sql('test.unfed')`update research_jobs set fed_until = null where batch_id = ${batchId}`);
  return { conveyor, batchId, providerIds: [world.provider.id] };
}
const outboxRows = () => countOf(db, sql('test.outbox')`select count(*) from research_outbox`);

test('what a process picked and never sent is fed again after a minute, though its stamps last much longer', async () => {
  const { conveyor, providerIds } = await unfed(2_500);
  const dead = () => Promise.reject(new Error('killed'));
  const dying = { db: { ...db.asWorker, query: dead }, queue: { send: dead } };
  await expect(feed(dying, { providerIds })).rejects.toThrow('killed');
  expect(await outboxRows()).toBe(3);

  await sweep(conveyor.deps, plenty);
  expect(conveyor.sent).toEqual([]);
  await db.query(
    sql('test.minute')`update research_outbox set picked_at = picked_at - interval '61 seconds'`,
  );
  await Promise.all([sweep(conveyor.deps, plenty), sweep(conveyor.deps, plenty)]);
  const ids = conveyor.sent.flatMap((message) => message.body.jobIds);
  expect([ids.length, new Set(ids).size, await outboxRows()]).toEqual([2_500, 2_500, 0]);
  await conveyor.close();
});

test('what was sent, or refused by the queue, leaves nothing in the outbox', async () => {
  const { conveyor, batchId, providerIds } = await unfed(150);
  const queue = { send: async (messages: OutgoingMessage[]) => messages.slice(0, 1) };
  await feed({ ...conveyor.deps, queue }, { providerIds });
  expect((await jobsOf(db, batchId)).filter((job) => job.fed)).toHaveLength(50);
  expect(await outboxRows()).toBe(0);
  await conveyor.close();
});

test('a missed end is found behind a thousand batches that are still at work', async () => {
  const { tenantId, campaignId, companyIds, provider } = await aWorld(db, { companies: 1 });
  await db.query(sql('test.batches')`
    with batch as (
      insert into research_batches (user_id, campaign_id, provider_id, kind, total, sealed_at, expanded_at, deadline)
      select ${tenantId}, ${campaignId}, ${provider.id}, 'company', 1, now(), now(), now() + n * interval '1 minute'
      from generate_series(1, 2300) n returning id, deadline
    )
    insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind, status, finished_at)
    select ${tenantId}, id, ${companyIds[0]}, ${campaignId}, ${provider.id}, 'company',
      case when place in (1, 1200, 2300) then 'completed' else 'queued' end,
      case when place in (1, 1200, 2300) then now() end
    from (select id, row_number() over (order by deadline) as place from batch) b`);
  expect(await endMissed(db.asWorker, always)).toBe(3);
  expect(
    await countOf(db, sql('test.ended')`select count(*) from research_batches where status = 'completed'`),
  ).toBe(3);
  expect(await endMissed(db.asWorker, always)).toBe(0);
});

test('batches that cannot be expanded keep none of the others from it', async () => {
  const { tenantId, campaignId, provider } = await aWorld(db, { companies: 3 });
  const broken = await aCampaign(db, tenantId, { name: 'broken' });
  await someCompanies(db, tenantId, broken, 1);
  const insert = (campaign: string, count: number) =>
    db.query(sql('test.unexpanded')`
      insert into research_batches (user_id, campaign_id, provider_id, kind, expands_all, sealed_at)
      select ${tenantId}, ${campaign}, ${provider.id}, 'company', true, now() from generate_series(1, ${count}::int)`);
  await insert(broken, 20);
  await insert(campaignId, 1);
  await db.query({
    statement: 'test.refuse',
    text: `create function refuse() returns trigger language plpgsql as $f$
      begin if new.campaign_id = '${broken}' then raise exception 'no'; end if; return new; end $f$;
      create trigger refuse before insert on research_jobs for each row execute function refuse()`,
    values: [],
  });
  await expect(expandUnfinished(db.asWorker, always)).rejects.toThrow('no');
  const made = sql('test.made')`select count(*) from research_jobs where campaign_id = ${campaignId}`;
  expect(await countOf(db, made)).toBe(3);
});

test('a step that fails is told, keeps no other from its turn, and fails the sweep at its end', async () => {
  const { conveyor, batchId } = await overdueLeases(2, 10);
  const told: unknown[] = [];
  const failing = {
    ...db.asWorker,
    query: (statement: Parameters<typeof db.query>[0]) =>
      statement.statement === 'sweep.unfeed' ? Promise.reject(new Error('no')) : db.asWorker.query(statement),
  } as typeof db.asWorker;
  const log = {
    info: () => undefined,
    warn: (event: string, fields: object) => told.push({ event, ...fields }),
  };
  await expect(sweep({ ...conveyor.deps, db: failing, log }, plenty)).rejects.toThrow('no');
  expect(told).toMatchObject([{ event: 'sweep.step_failed', step: 'unfeed' }]);
  expect((await jobsOf(db, batchId)).map((job) => job.fed)).toEqual([true, true]);
  await conveyor.close();
});

test('the jobs of a huge batch past its deadline end in chunks', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 2_200 });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  await db.query(
    sql('test.late')`update research_batches set deadline = now() - interval '1 s' where id = ${batchId}`,
  );
  expect([
    await failOverdue(db.asWorker),
    await failOverdue(db.asWorker),
    await failOverdue(db.asWorker),
  ]).toEqual([1_000, 1_000, 200]);
  await sweep(conveyor.deps, plenty);
  expect(
    await countOf(db, sql('test.ended')`select count(*) from research_batches where status = 'completed'`),
  ).toBe(1);
  await conveyor.close();
});

test('a huge batch past its deadline leaves time for everybody else', async () => {
  const huge = await aWorld(db, { companies: 6_000 });
  const late = aConveyor(db);
  const batchId = await late.start(huge.tenantId, huge.campaignId);
  await db.query(
    sql('test.late')`update research_batches set deadline = now() - interval '1 s' where id = ${batchId}`,
  );
  const other = await unfed(1);
  let remaining = 55_000;
  const slow = {
    ...db.asWorker,
    query: (statement: Parameters<typeof db.query>[0]) => {
      // So slow that all of it would take more than the whole sweep.
      if (statement.statement === 'sweep.overdue') remaining -= 11_000;
      return db.asWorker.query(statement);
    },
  } as typeof db.asWorker;
  await sweep({ ...other.conveyor.deps, db: slow }, { remainingMs: () => remaining });
  expect((await jobsOf(db, other.batchId)).map((job) => job.fed)).toEqual([true]);
  expect(
    await countOf(db, sql('test.ended')`select count(*) from research_jobs where status = 'failed'`),
  ).toBe(1_000);
  await Promise.all([late.close(), other.conveyor.close()]);
});

test('jobs that a cancelled batch has left open are cancelled, and not asked about', async () => {
  const { tenantId, campaignId, provider } = await aWorld(db, { companies: 2_200 });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  // Dies between the batches and their jobs.
  const started = startArchive(dying(db, db, 2).db, tenantId, campaignId, { cancelOpenJobs: true });
  await expect(started).rejects.toThrow(Died);
  await db.query(sql('test.away')`
    update research_providers set paused_until = now() + interval '30 days' where id = ${provider.id}`);
  expect(await cancelLeft(db.asWorker)).toBe(1_000);
  await sweep(conveyor.deps, plenty);
  const left = sql(
    'test.left',
  )`select count(*) from research_jobs where batch_id = ${batchId} and status <> 'cancelled'`;
  expect(await countOf(db, left)).toBe(0);
  await db.query(sql('test.back')`update research_providers set paused_until = null`);
  conveyor.sent.length = 0;
  await feed(conveyor.deps, { providerIds: [provider.id] });
  expect(conveyor.sent).toEqual([]);
  await conveyor.close();
});

test('what cancelled batches have left is looked for by index, in those of the last week', async () => {
  const { tenantId, campaignId, provider } = await aWorld(db, { companies: 1 });
  await db.query(sql('test.many')`
    insert into research_batches (user_id, campaign_id, provider_id, kind, status, finished_at)
    select ${tenantId}, ${campaignId}, ${provider.id}, 'company', 'cancelled', now() - n * interval '1 hour'
    from generate_series(1, 20000) n`);
  await db.query(sql('test.analyze')`analyze research_batches`);
  const plans: string[] = [];
  await cancelLeft({
    ...db.asWorker,
    async query<Row>(statement: Statement) {
      const text = `explain (analyze, format json) ${statement.text}`;
      plans.push(JSON.stringify(await db.asWorker.query({ ...statement, text })));
      return [] as Row[];
    },
  });
  expect(plans).toHaveLength(1);
  expect(plans[0]).toContain('research_batches_cancelled');
  expect(plans[0]).not.toMatch(/Seq Scan[^{}]*"Relation Name":"research_batches"/);
  // A week has 168 hours.
  const looked = /"Index Name":"research_batches_cancelled".*?"Actual Rows":(\d+)/.exec(plans[0] ?? '');
  expect(Number(looked?.[1])).toBeLessThan(170);
});
