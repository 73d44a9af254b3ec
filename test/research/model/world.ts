import { sql } from '../../../core/db/sql.ts';
import type { Ask } from '../../../core/research/asks.ts';
import { endBatches } from '../../../core/research/batches.ts';
import { claim } from '../../../core/research/claim.ts';
import { feed } from '../../../core/research/feed.ts';
import { endMissed } from '../../../core/research/overdue.ts';
import { settle } from '../../../core/research/settle.ts';
import { aConveyor } from '../../support/conveyor.ts';
import type { TestDatabase } from '../../support/database.ts';
import { aWorld } from '../../support/factories.ts';

export const concurrency = 3;
export const maxRetries = 2;
export const maxCrashes = 5;

/** What the model believes of one job. */
export interface Job {
  id: string;
  status: 'queued' | 'processing' | 'completed' | 'failed' | 'cancelled';
  attempt: string | null;
  accepted: boolean;
  retries: number;
  throttles: number;
  crashes: number;
  fed: boolean;
  results: number;
}

export interface Asked {
  id: string;
  jobs: { jobId: string; attemptId: string }[];
}

export const isOpen = (job: Job): boolean => job.status === 'queued' || job.status === 'processing';

/** One batch of four jobs at a provider that takes three at a time, and the model beside it. */
export async function aModel(db: TestDatabase) {
  const world = await aWorld(db, { companies: 4, batchSize: 2, concurrency, maxRetries });
  const conveyor = aConveyor(db);
  const providerId = world.provider.id;
  const [batch] = await db.query<{ id: string }>(sql('model.batch')`
    insert into research_batches (user_id, campaign_id, provider_id, kind, total, expanded_at)
    values (${world.tenantId}, ${world.campaignId}, ${providerId}, 'company', 4, now()) returning id`);
  const batchId = batch?.id ?? '';
  const made = await db.query<{ id: string }>(sql('model.jobs')`
    insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind)
    select ${world.tenantId}, ${batchId}, c.id, ${world.campaignId}, ${providerId}, 'company'
    from companies c where c.campaign_id = ${world.campaignId} order by c.id returning id`);
  const jobs = new Map<string, Job>();
  for (const { id } of made) {
    const none = { retries: 0, throttles: 0, crashes: 0, results: 0 };
    jobs.set(id, { id, status: 'queued', attempt: null, accepted: false, fed: false, ...none });
  }
  const asks: Asked[] = [];
  const all = () => [...jobs.values()];
  const ids = () => all().map((job) => job.id);
  const where = (status: Job['status']) => all().filter((job) => job.status === status);

  const model = {
    db,
    deps: conveyor.deps,
    sent: conveyor.sent,
    providerId,
    batchId,
    jobs,
    asks,
    all,
    where,
    pick: (mask: number) => all().filter((_, n) => (mask & (1 << n)) !== 0),
    endBatch: () => endBatches(db, [batchId]),
    async makeDue() {
      await db.query(sql('model.due')`
        update research_jobs set run_at = least(run_at, now()) where id = any(${ids()}::uuid[]) and status = 'queued'`);
    },
    async feed() {
      await feed(conveyor.deps, { providerIds: [providerId] });
      return conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
    },
    async claim(jobIds: string[]): Promise<Ask[]> {
      const made = await claim(db, jobIds, { leaseSeconds: 60 });
      for (const ask of made) {
        const of = ask.jobs.map((job) => ({ jobId: job.id, attemptId: job.attempt_id }));
        asks.push({ id: ask.id, jobs: of });
        for (const { jobId, attemptId } of of) {
          Object.assign(jobs.get(jobId) ?? {}, { status: 'processing', attempt: attemptId, accepted: false });
        }
      }
      for (const id of jobIds) {
        const job = jobs.get(id);
        if (job) job.fed = false;
      }
      return made;
    },
    async seal() {
      await db.query(sql('model.seal')`
        update research_batches set sealed_at = now() where id = ${batchId} and sealed_at is null`);
    },
    /** Everything is well from now on: whatever happened before, each job must end, and the batch with them. */
    async heal() {
      await model.seal();
      for (let round = 0; round < 10 && all().some(isOpen); round++) {
        await model.makeDue();
        await db.query(
          sql('model.unfeed')`update research_jobs set fed_until = null where batch_id = ${batchId}`,
        );
        await db.query(sql('model.expire')`
          update research_jobs set status = 'queued', lease_until = null, accepted_at = null
          where batch_id = ${batchId} and status = 'processing'`);
        for (const job of where('processing')) Object.assign(job, { status: 'queued', accepted: false });
        const claimed = await model.claim(await model.feed());
        const outcomes = claimed.flatMap((ask) => ask.jobs);
        await settle(
          db,
          outcomes.map((job) => ({ jobId: job.id, attemptId: job.attempt_id, type: 'completed' })),
        );
        for (const { id } of outcomes)
          Object.assign(jobs.get(id) ?? {}, { status: 'completed', results: 1, crashes: 0 });
      }
      await endMissed(db, { hasTime: () => true });
    },
    close: () => conveyor.close(),
  };
  return model;
}

export type Model = Awaited<ReturnType<typeof aModel>>;
