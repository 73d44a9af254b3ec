import { explain } from '../../bench/schema/explain.ts';
import type { Db } from '../../core/db/connect.ts';
import { type Statement, sql } from '../../core/db/sql.ts';
import { applyResults } from '../../core/research/callback.ts';
import { claim } from '../../core/research/claim.ts';
import { takeDeadLetters } from '../../core/research/dead-letters.ts';
import { feed, unstamp } from '../../core/research/feed.ts';
import { unfeedUnsent } from '../../core/research/leases.ts';
import { getBatch } from '../../core/research/read/batches.ts';
import { aConveyor } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aProvider, aWorld } from '../support/factories.ts';
import { completeAll } from '../support/provider.ts';

/** What a provider without limits holds, and what waits for it, in a database whose statistics know of nothing fed. */
const held = 20_000;
const waiting = 12_000;

let db: TestDatabase;
let world: Awaited<ReturnType<typeof aWorld>>;
let conveyor: ReturnType<typeof aConveyor>;
let batchId: string;
let limitedId: string;
beforeAll(async () => {
  db = await testDatabase();
  world = await aWorld(db, { companies: held + waiting });
  const { tenantId, campaignId, provider } = world;
  await aProvider(db, tenantId, { name: 'idle' });
  limitedId = (await aProvider(db, tenantId, { name: 'limited', concurrency: 50 })).id;
  const jobs = async (providerId: string, rows: number, busy: number) => {
    const [batch] = await db.query<{ id: string }>(sql('t')`
      insert into research_batches (user_id, campaign_id, provider_id, kind, total, sealed_at, expanded_at)
      values (${tenantId}, ${campaignId}, ${providerId}, 'company', ${rows}, now(), now()) returning id`);
    await db.query(sql('t')`
      insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind, status, attempt_id,
        lease_until, accepted_at)
      select ${tenantId}, ${batch?.id}, id, ${campaignId}, ${providerId}, 'company', state, attempt, lease, accepted
      from (
        select id, case when n <= ${busy}::int then 'processing' else 'queued' end as state,
          case when n <= ${busy}::int then gen_random_uuid() end as attempt,
          case when n <= ${busy}::int then now() + interval '20 minutes' end as lease,
          case when n <= ${busy}::int then now() end as accepted
        from (select id, row_number() over (order by id) as n from companies where campaign_id = ${campaignId}
          limit ${rows}::int) c
      ) job`);
    return batch?.id ?? '';
  };
  batchId = await jobs(provider.id, held + waiting, held);
  await jobs(limitedId, 1_000, 400);
  await db.query(sql('t')`vacuum analyze research_jobs`);
  await db.query(sql('t')`analyze research_providers`);
  conveyor = aConveyor(db);
}, 60_000);
afterAll(async () => {
  await conveyor.close();
  await db.close();
});

/** The statements that `work` sends, those in its transactions too. */
async function statementsOf(work: (worker: Db) => Promise<unknown>): Promise<Statement[]> {
  const sent: Statement[] = [];
  const over = (inner: Db): Db => ({
    query(statement) {
      sent.push(statement);
      return inner.query(statement);
    },
    transaction: (inside) => inner.transaction((tx) => inside(over(tx))),
  });
  await work(over(db.asWorker));
  return sent;
}

class Enough extends Error {}

/** Runs it once more to see what it reads, and takes that back. */
async function readsOf(statement: Statement | undefined) {
  if (!statement) throw new Error('it was not sent');
  let found: Awaited<ReturnType<typeof explain>> | undefined;
  const undone = db.asWorker.transaction(async (tx) => {
    found = await explain(tx, statement);
    throw new Enough();
  });
  await expect(undone).rejects.toThrow(Enough);
  if (!found) throw new Error('no plan');
  return found;
}

const named = (statements: Statement[], name: string) => statements.find((each) => each.statement === name);

test('what a provider holds costs neither a feed nor a claim anything', async () => {
  const deps = (worker: Db) => ({ ...conveyor.deps, db: worker });
  // The first takes its half of the tenant's window; the next finds it full.
  await feed(conveyor.deps, { providerIds: [world.provider.id] });
  expect(conveyor.sent).toHaveLength(50);
  const fed = await statementsOf((worker) => feed(deps(worker), { providerIds: [world.provider.id] }));
  const pick = await readsOf(named(fed, 'feed.pick'));
  expect(pick.walked).not.toContain('research_jobs');
  // It counts what is fed, 5,000 in an index, and nothing else.
  expect(pick.rows).toBeLessThan(6_000);

  const ids = conveyor.sent.splice(0, 1).flatMap((message) => message.body.jobIds);
  const claimed = await statementsOf((worker) => claim(worker, ids, { leaseSeconds: 60 }));
  await db.query(
    sql('t')`update research_jobs set status = 'queued', lease_until = null where id = any(${ids}::uuid[])`,
  );
  const take = await readsOf(named(claimed, 'claim.take'));
  // 100 jobs and their companies.
  expect(take.rows).toBeLessThan(1_000);
});

test('a limit is counted up to the limit, and a provider at it is fed nothing', async () => {
  const sent = conveyor.sent.length;
  const fed = await statementsOf((worker) =>
    feed({ ...conveyor.deps, db: worker }, { providerIds: [limitedId] }),
  );
  expect(conveyor.sent).toHaveLength(sent);
  const { rows } = await readsOf(named(fed, 'feed.pick'));
  expect(rows).toBeLessThan(100);
});

const anyStamps = { first: 0, last: Number.MAX_SAFE_INTEGER };

test('jobs are taken off the conveyor by their ids, not by looking through all that are on it', async () => {
  const ids = conveyor.sent.slice(0, 1).flatMap((message) => message.body.jobIds);
  const [one] = await statementsOf((worker) => unstamp(worker, ids));
  await db.query(
    sql('t')`update research_jobs set fed_until = now() + interval '1 hour' where id = any(${ids}::uuid[])`,
  );
  const dead = await statementsOf((worker) =>
    takeDeadLetters({ ...conveyor.deps, db: worker }, 'q', [
      { messageId: 'm', body: JSON.stringify({ v: 1, jobIds: ids }), receiveCount: 9, stamps: anyStamps },
    ]),
  );
  await db.query(sql('t')`
    update research_jobs set fed_until = now() + interval '1 hour', crash_count = 0, run_at = now() where id = any(${ids}::uuid[])`);
  await db.query(sql('t')`insert into research_outbox (feed_id, user_id, part, job_ids, picked_at)
    values (gen_random_uuid(), ${world.tenantId}, 0, ${ids}::uuid[], now() - interval '2 minutes')`);
  const [lost] = await statementsOf((worker) => worker.transaction((tx) => unfeedUnsent(tx)));
  await db.query(
    sql('t')`update research_jobs set fed_until = now() + interval '1 hour' where id = any(${ids}::uuid[])`,
  );
  await db.query(sql('t')`insert into research_outbox (feed_id, user_id, part, job_ids, picked_at)
    values (gen_random_uuid(), ${world.tenantId}, 0, ${ids}::uuid[], now() - interval '2 minutes')`);
  for (const statement of [one, named(dead, 'dead_letters.give_back'), lost]) {
    const { indexes } = await readsOf(statement);
    expect([statement?.statement, indexes]).toEqual([
      statement?.statement,
      expect.not.arrayContaining(['research_jobs_fed']),
    ]);
    expect(indexes).toContain('research_jobs_pkey');
  }
});

test('a callback of a provider without limits feeds nobody: it frees no permit', async () => {
  const ids = conveyor.sent.splice(0, 1).flatMap((message) => message.body.jobIds);
  const [ask] = await claim(db.asWorker, ids.slice(0, 10), { leaseSeconds: 60 });
  if (!ask) throw new Error('nothing was claimed');
  const results = completeAll({
    requests: ask.jobs.map((job) => ({ jobId: job.id, attemptId: job.attempt_id, company: job.company })),
  } as never).body as { results: unknown[] };
  const found = { askId: ask.id, tenantId: world.tenantId, providerId: world.provider.id, secrets: [] };
  const statements = await statementsOf((worker) =>
    applyResults({ ...conveyor.deps, db: worker }, found, results.results),
  );
  expect(statements.map((each) => each.statement)).toEqual([
    'callback.attempts',
    'research.settle',
    'batches.end',
  ]);
});

test('to look at a batch reads none of its jobs', async () => {
  const asked: Statement[] = [];
  const bound = db.asApi.forTenant(world.tenantId);
  const reading: Db = {
    ...bound,
    query(statement) {
      asked.push(statement);
      return bound.query(statement);
    },
  };
  const batch = await getBatch({ db: reading }, world.tenantId, batchId);
  expect(batch.counts.queued + batch.counts.processing + batch.counts.completed).toBe(held + waiting);
  expect(asked.map((statement) => statement.text).join()).not.toContain('research_jobs');
});
