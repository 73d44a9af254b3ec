import { sql } from '../../core/db/sql.ts';
import { dispatch } from '../../core/research/dispatch.ts';
import { aConveyor, jobsOf } from './conveyor.ts';
import type { TestDatabase } from './database.ts';
import { aWorld, type ProviderOverrides } from './factories.ts';
import { fakeProvider } from './provider.ts';

interface Health {
  circuit: 'closed' | 'open' | 'half_open';
  reason: string | null;
  trips: number;
  failed: number;
  paused: boolean;
  rate: number | null;
  quota: number | null;
}

export type Respond = Parameters<typeof fakeProvider>[0];

export type RunOptions = ProviderOverrides & { companies?: number };

/** A batch of companies, fed and not yet claimed, and a provider that answers what the test says. */
export async function startRun(db: TestDatabase, respond: Respond, options: RunOptions = {}) {
  const remote = await fakeProvider(respond);
  const world = await aWorld(db, { ...options, url: remote.url });
  remote.trust(world.provider.secret);
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(world.tenantId, world.campaignId);
  return {
    ...world,
    remote,
    conveyor,
    batchId,
    jobs: () => jobsOf(db, batchId),
    async batch() {
      const [row] = await db.query<{ status: string; total: number }>(
        sql('test.batch')`select status, total from research_batches where id = ${batchId}`,
      );
      return row;
    },
    /** Delivers what is on the queue, once, with all jobs due and the provider as it is. */
    async deliver() {
      const ids = conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
      await dispatch(conveyor.deps, ids, { remainingMs: () => 60_000 });
      return ids;
    },
    async health() {
      const [row] = await db.query<Health>(sql('test.health')`
        select circuit, circuit_reason as reason, circuit_trips as trips, failed_asks as failed,
          coalesce(paused_until > now(), false) as paused, adapted_rate as rate, quota_asks as quota
        from research_providers where id = ${world.provider.id}`);
      if (!row) throw new Error('no provider');
      return row;
    },
    /** As if its pause had passed. */
    async unpause() {
      await db.query(sql('test.unpause')`
        update research_providers set paused_until = least(paused_until, now()) where id = ${world.provider.id}`);
      await db.query(sql('test.due')`
        update research_jobs set run_at = least(run_at, now()) where batch_id = ${batchId}`);
    },
    async makeLeasesExpire() {
      await db.query(sql('test.expire')`update research_jobs set lease_until = now() - interval '1 second'
        where batch_id = ${batchId} and status = 'processing'`);
    },
    async close() {
      await Promise.all([remote.close(), conveyor.close()]);
    },
  };
}
