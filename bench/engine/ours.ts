import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Dispatcher } from 'undici';
import { type Connection, connect, type Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { guardedAgent } from '../../core/http/guard.ts';
import { expand } from '../../core/research/batches.ts';
import { dispatch } from '../../core/research/dispatch.ts';
import { enqueue } from '../../core/research/enqueue.ts';
import { feed } from '../../core/research/feed.ts';
import type { OutgoingMessage } from '../../core/research/queue.ts';
import { root } from '../../local/stack/paths.ts';
import { aCampaign, aProvider, aTenant, someCompanies } from '../../test/support/factories.ts';
import type { World } from '../world.ts';

export async function instantProvider() {
  const child = fork(join(root, 'bench/engine/instant.ts'), { execArgv: ['--no-warnings'] });
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  return { url: `http://127.0.0.1:${port}/`, close: () => child.kill('SIGTERM') };
}

export const silent = { info: () => undefined, warn: () => undefined };

/** The engine as its own role, and the conveyor in memory, ten messages an invocation. */
export function engine(workerUrl: string, { connections, http }: { connections: number; http?: Dispatcher }) {
  const waiting: OutgoingMessage[] = [];
  const count = { sendCalls: 0, messages: 0, statements: 0 };
  const counted = (inner: Db): Db => ({
    query: (statement) => {
      count.statements++;
      return inner.query(statement);
    },
    transaction: (work) => inner.transaction((tx) => work(counted(tx))),
  });
  const pool: Connection = connect(workerUrl, { max: connections });
  const agent = http ?? guardedAgent({ allowedNetworks: ['127.0.0.0/8'], connections: 50 });
  const deps = {
    db: counted(pool),
    http: agent,
    queue: {
      async send(messages: OutgoingMessage[]) {
        count.sendCalls += Math.ceil(messages.length / 10);
        count.messages += messages.length;
        waiting.push(...messages);
        return [] as OutgoingMessage[];
      },
    },
    deliveries: { send: async () => [] },
    log: silent,
    clock: Date.now,
    publicUrl: 'http://127.0.0.1:1',
    claimLeaseSeconds: 120,
    concurrency: 50,
  };
  const lane = async () => {
    for (let messages = waiting.splice(0, 10); messages.length > 0; messages = waiting.splice(0, 10)) {
      const ids = messages.flatMap((message) => message.body.jobIds);
      await dispatch(deps, ids, { remainingMs: () => 120_000 });
    }
  };
  return {
    deps,
    count,
    waiting,
    /** Until nothing is on the conveyor. */
    async drain(lanes = 4) {
      while (waiting.length > 0) await Promise.all(Array.from({ length: lanes }, lane));
    },
    async close() {
      await pool.close();
      await agent.close();
    },
  };
}

const companiesAtOnce = 100_000;

export interface Scene {
  tenantId: string;
  campaignId: string;
  providerId: string;
}

/** A tenant of his own with companies and a provider. */
export async function aScene(
  { db }: World,
  companies: number,
  provider: { url: string; batchSize: number; concurrency?: number; timeoutMs?: number },
): Promise<Scene> {
  const tenantId = await aTenant(db);
  const campaignId = await aCampaign(db, tenantId);
  // In parts: a statement of a million ends at its timeout.
  for (let from = 1; from <= companies; from += companiesAtOnce) {
    const count = Math.min(companiesAtOnce, companies - from + 1);
    await someCompanies(db, tenantId, campaignId, count, { from });
  }
  const { id } = await aProvider(db, tenantId, provider);
  await db.query(sql('bench.analyze')`analyze companies`);
  return { tenantId, campaignId, providerId: id };
}

/** Accepts a whole campaign and makes its jobs, and nothing more. @returns the batch */
export async function submit(api: Connection, worker: Db, scene: Scene): Promise<string> {
  const request = {
    provider: 'a-provider',
    kind: 'company',
    all: true,
    final: true,
    priority: 0,
    dryRun: false,
  } as const;
  const { batchId } = await enqueue(api.forTenant(scene.tenantId), scene.tenantId, scene.campaignId, request);
  await expand(worker, batchId ?? '', { budgetMs: 600_000 });
  return batchId ?? '';
}

export const start = (deps: ReturnType<typeof engine>['deps'], scene: Scene) =>
  feed(deps, { providerIds: [scene.providerId] });

export async function completed(db: Db, scene: Scene): Promise<number> {
  // Without statistics of the new rows the join would compare each with each.
  await db.query(sql('bench.statistics')`analyze research_jobs, company_research`);
  const [row] = await db.query<{ count: number }>(sql('bench.completed')`
    select count(*) from research_jobs j
    join company_research r on r.job_id = j.id and r.generation = 1
    where j.user_id = ${scene.tenantId} and j.status = 'completed'`);
  return row?.count ?? 0;
}
