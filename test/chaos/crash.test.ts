import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { sql } from '../../core/db/sql.ts';
import { applyResults, findAsk } from '../../core/research/callback.ts';
import { takeDeadLetters } from '../../core/research/dead-letters.ts';
import { enqueue, kickOff } from '../../core/research/enqueue.ts';
import { sweep } from '../../core/research/sweep.ts';
import { aConveyor, deadLetter } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';
import { type AskBody, completeAll, fakeProvider } from '../support/provider.ts';
import type { Errand, Step } from './child.ts';

const companies = 3;

/** Three lanes, a database each: a sweep, and whoever heals, reaches the jobs of everybody in his. */
let lanes: TestDatabase[];
let remote: Awaited<ReturnType<typeof fakeProvider>>;
/** Providers that answer 202, by tenant: their callbacks are the test's own. */
const slow = new Set<string>();
beforeAll(async () => {
  lanes = await Promise.all(Array.from({ length: 3 }, () => testDatabase()));
  remote = await fakeProvider((ask) =>
    slow.has(ask.requests[0]?.kind ?? '') ? { status: 202 } : completeAll(ask),
  );
});
afterAll(async () => {
  await remote.close();
  await Promise.all(lanes.map((db) => db.close()));
});

/** @returns the failpoints it passed, or `killed` */
function runChild(errand: Errand): Promise<string[] | 'killed'> {
  return new Promise((resolve, reject) => {
    const child = join(import.meta.dirname ?? __dirname, 'child.ts');
    execFile(process.execPath, ['--no-warnings', child, JSON.stringify(errand)], (error, stdout, stderr) => {
      if (error?.signal === 'SIGKILL') resolve('killed');
      else if (error) reject(new Error(`the child failed: ${stderr}`));
      else resolve(JSON.parse(stdout));
    });
  });
}

type Scenario = Awaited<ReturnType<typeof aScenario>>;

async function aScenario(db: TestDatabase, batchSize: number) {
  const world = await aWorld(db, { companies, batchSize, url: remote.url });
  const conveyor = aConveyor(db);
  const { tenantId, campaignId } = world;
  const bound = db.asApi.forTenant(tenantId);
  const own = {
    ...world,
    db,
    conveyor,
    async start(kind = 'company') {
      const request = {
        provider: 'a-provider',
        kind,
        all: true,
        final: true,
        priority: 0,
        dryRun: false,
      } as const;
      const { batchId } = await enqueue(bound, tenantId, campaignId, request);
      await kickOff({ ...conveyor.deps, db: bound }, batchId ?? '');
    },
    takeDead: () => conveyor.sent.splice(0).map((message) => deadLetter(message)),
    take: () => conveyor.sent.splice(0).flatMap((message) => message.body.jobIds),
    run: (step: Step, dieAt?: number) =>
      runChild({
        step,
        tenantId,
        workerUrl: db.asWorker.url,
        apiUrl: db.asApi.url,
        ...(dieAt === undefined ? {} : { dieAt }),
      }),
    /** Time passes: leases and stamps run out, what waits is due, and the sweep comes by. */
    async pass() {
      await db.query(sql('crash.leases')`
        update research_jobs set lease_until = now() - interval '1 s' where user_id = ${tenantId} and status = 'processing'`);
      await db.query(sql('crash.stamps')`
        update research_jobs set fed_until = now() - interval '1 s' where user_id = ${tenantId} and fed_until is not null`);
      await db.query(sql('crash.due')`
        update research_jobs set run_at = least(run_at, now()) where user_id = ${tenantId} and status = 'queued'`);
      await sweep(conveyor.deps, { remainingMs: () => 60_000 });
      await conveyor.drain();
    },
    async heal() {
      for (let round = 0; round < 12 && (await own.open()) > 0; round++) await own.pass();
      await sweep(conveyor.deps, { remainingMs: () => 60_000 });
    },
    async open() {
      const [row] = await db.query<{ count: number }>(sql('crash.open')`
        select (select count(*) from research_jobs where user_id = ${tenantId} and status in ('queued', 'processing'))
          + (select count(*) from research_batches where user_id = ${tenantId} and status = 'open') as count`);
      return row?.count ?? 0;
    },
    /** I1, I2, I12 and the batch's end, for whatever was accepted. */
    async state() {
      const [row] = await db.query(sql('crash.state')`
        select
          (select count(*) from research_jobs where user_id = ${tenantId} and status = 'completed') as completed,
          (select count(*) from research_jobs where user_id = ${tenantId}) as jobs,
          (select sum(total)::int from research_batches where user_id = ${tenantId}) as submitted,
          (select count(*) from research_batches where user_id = ${tenantId} and status <> 'completed') as open_batches,
          (select count(*) from company_research where user_id = ${tenantId}) as results,
          (select max(generation) from company_research where user_id = ${tenantId}) as generation,
          (select count(*) from prospect_research where user_id = ${tenantId}) as people,
          (select count(*) from research_attempts where user_id = ${tenantId} and outcome in ('completed', 'late')) as applied,
          (select coalesce(sum(cardinality(ids)), 0)::int from changes
            where user_id = ${tenantId} and entity = 'job' and op = 'completed') as told,
          (select coalesce(sum(retry_count), 0)::int from research_jobs where user_id = ${tenantId}) as retries`);
      return row;
    },
    close: () => conveyor.close(),
  };
  return own;
}

const well = {
  ...{ completed: companies, jobs: companies, submitted: companies, open_batches: 0, results: companies },
  ...{ generation: 1, people: companies, applied: companies, told: companies, retries: 0 },
};

interface Plan {
  /** Brings a scenario to where the step begins. */
  prepare(scenario: Scenario): Promise<Step>;
  /** What the outside does after the crash: the queue delivers again, the caller repeats. */
  repeat?(scenario: Scenario, step: Step): Promise<void>;
  mustPass: string[];
  batchSize?: number;
}

const plans: Record<string, Plan> = {
  enqueue: {
    prepare: async ({ campaignId }) => ({ does: 'enqueue', campaignId, provider: 'a-provider' }),
    async repeat(scenario) {
      const state = (await scenario.state()) as { submitted: number | null };
      // Not committed, so not accepted: whoever called had no answer, and calls again.
      if (state.submitted === null) await scenario.start();
    },
    mustPass: [
      'before the commit of enqueue.finish_call',
      'after the commit of feed.pick',
      'before the send',
      'after the send',
    ],
  },
  dispatch: {
    async prepare(scenario) {
      await scenario.start();
      return { does: 'dispatch', jobIds: scenario.take() };
    },
    mustPass: [
      'before the commit of claim.take',
      'after the commit of claim.take',
      'before the POST',
      'after the POST',
      'before research.settle',
      'after research.settle',
      'after batches.end',
    ],
  },
  callback: {
    batchSize: companies,
    async prepare(scenario) {
      const kind = `slow-${scenario.tenantId.slice(0, 8)}`;
      slow.add(kind);
      // So many at a time: what ends by callback frees a permit, and is fed for.
      await scenario.db.query(sql('crash.limit')`
        update research_providers set concurrency = ${companies} where user_id = ${scenario.tenantId}`);
      await scenario.start(kind);
      await scenario.conveyor.drain();
      const { requests, askId } = remote.asks.findLast((ask) => ask.requests[0]?.kind === kind) as AskBody;
      slow.delete(kind);
      return {
        does: 'callback',
        askId,
        results: (completeAll({ requests } as AskBody).body as { results: unknown[] }).results,
      };
    },
    async repeat({ conveyor, db }, step) {
      if (step.does !== 'callback') return;
      const ask = await findAsk(db, step.askId);
      if (ask) await applyResults(conveyor.deps, ask, step.results);
    },
    mustPass: ['before research.settle', 'after research.settle', 'after the commit of feed.pick'],
  },
  sweep: {
    async prepare(scenario) {
      const { db } = scenario;
      await scenario.start();
      const jobIds = scenario.take();
      const { claim } = await import('../../core/research/claim.ts');
      await claim(db.asWorker, jobIds.slice(0, 2), { leaseSeconds: 60 });
      await db.query(sql('crash.leases')`
        update research_jobs set lease_until = now() - interval '1 s' where user_id = ${scenario.tenantId} and status = 'processing'`);
      await db.query(sql('crash.stamps')`
        update research_jobs set fed_until = now() - interval '1 s' where user_id = ${scenario.tenantId} and fed_until is not null`);
      return { does: 'sweep' };
    },
    mustPass: [
      'before sweep.leases',
      'after sweep.leases',
      'after sweep.unfeed',
      'after sweep.unsent',
      'after the commit of feed.pick',
    ],
  },
  'dead letters': {
    async prepare(scenario) {
      await scenario.start();
      return { does: 'deadLetter', letters: scenario.takeDead() };
    },
    async repeat({ conveyor }, step) {
      if (step.does !== 'deadLetter') return;
      await takeDeadLetters(conveyor.deps, 'research', step.letters);
    },
    mustPass: ['before dead_letters.give_back', 'after dead_letters.give_back'],
  },
};

test.each(Object.entries(plans))(
  'a process killed at any point of %s loses nothing and applies nothing twice',
  async (_, { prepare, repeat, mustPass, batchSize = 2 }) => {
    const [first] = lanes as [TestDatabase];
    const recorded = await aScenario(first, batchSize);
    const points = await recorded.run(await prepare(recorded));
    if (points === 'killed') throw new Error('the child that was to live was killed');
    expect(points).toEqual(expect.arrayContaining(mustPass));
    await recorded.heal();
    await recorded.close();

    const endings: unknown[] = [];
    let next = 0;
    const work = async (db: TestDatabase) => {
      for (let dieAt = next++; dieAt < points.length; dieAt = next++) {
        const scenario = await aScenario(db, batchSize);
        const step = await prepare(scenario);
        const killed = await scenario.run(step, dieAt);
        await repeat?.(scenario, step);
        await scenario.heal();
        endings[dieAt] = { point: points[dieAt], killed, state: await scenario.state() };
        await scenario.close();
      }
    };
    await Promise.all(lanes.map(work));
    expect(endings).toEqual(points.map((point) => ({ point, killed: 'killed', state: well })));
  },
  300_000,
);
