import { spawn, spawnSync } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { guardedAgent } from '../../core/http/guard.ts';
import { askProvider } from '../../core/research/ask.ts';
import { root } from '../../local/stack/paths.ts';
import { freePort } from '../../local/stack/ports.ts';
import type { Scene } from './ours.ts';

const folder = join(root, 'bench', 'peers');
export const connections = 8;

/** A job queue that others use, at its best settings, over the same Postgres (BullMQ: a Redis that syncs every write). */
export interface Peer {
  name: string;
  /** Adds jobs in bulk, a thousand a call. */
  add(companies: Company[]): Promise<void>;
  /** Forgets what was added. */
  clear(): Promise<unknown>;
  /** Works all of them off: the same POSTs, the same result row. @returns how many results are stored */
  work(scene: Scene, count: number, url: string, batchSize: number): Promise<number>;
  /** Whether it can hand out several jobs at once. */
  batches: boolean;
  close(): Promise<void>;
}

/** Installs them at the first use; what they want to compile is optional and left out. */
export function installPeers(): void {
  if (existsSync(join(folder, 'node_modules', 'pg-boss'))) return;
  const npm = spawnSync('npm', ['install', '--omit=optional', '--ignore-scripts', '--no-save'], {
    cwd: folder,
    stdio: 'inherit',
  });
  if (npm.status !== 0) throw new Error('the peers could not be installed');
}

// biome-ignore lint/suspicious/noExplicitAny: their types are not installed with the project
const load = (name: string): any => createRequire(join(folder, 'package.json'))(name);

export interface Company {
  id: string;
  name: string;
  domain: string;
}
/** Companies that nobody ever looks for. */
export const madeUp = (count: number): Company[] =>
  Array.from({ length: count }, (_, n) => ({
    id: `00000000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`,
    name: `Company ${n}`,
    domain: `company-${n}.example`,
  }));
function* inParts(companies: Company[], size: number): Generator<Company[]> {
  for (let from = 0; from < companies.length; from += size) yield companies.slice(from, from + size);
}

/** What all peers share: the POST, which is our engine's own, and the very row that it stores, indexes and triggers included. */
function results(databaseUrl: string) {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: connections });
  pool.on('error', () => undefined);
  const http = guardedAgent({ allowedNetworks: ['127.0.0.0/8'], connections: 50 });
  const deps = { http, publicUrl: 'http://127.0.0.1:1', clock: Date.now };
  const secret = `whsec_${randomBytes(24).toString('base64')}`;
  const health = { endpoint: '', circuit: 'closed', failed_asks: 0, watched: false } as const;
  return {
    pool,
    async post(url: string, companies: Company[]): Promise<unknown[]> {
      const answer = await askProvider(deps, {
        id: randomUUID(),
        provider: {
          id: url,
          user_id: url,
          url,
          secret,
          batch_size: companies.length,
          timeout_ms: 30_000,
          ...health,
        },
        jobs: companies.map((company) => ({
          ...{ id: company.id, attempt_id: company.id, batch_id: company.id },
          ...{ provider_id: url, ask_id: url, kind: 'company', company: { ...company, attributes: {} } },
        })),
      });
      if (answer.type !== 'answered') throw new Error(`the provider's answer: ${answer.type}`);
      return answer.results;
    },
    store: (rows: unknown[], scene: Scene) =>
      pool.query(
        `insert into company_research as r (user_id, campaign_id, company_id, kind, summary, findings, sources)
         select $2, $3, "jobId", 'company', research->>'summary', research->'findings', '[]'
         from jsonb_to_recordset($1::jsonb) as found ("jobId" uuid, research jsonb)
         on conflict (campaign_id, company_id, kind) do update
         set summary = excluded.summary, findings = excluded.findings, version = r.version + 1`,
        [JSON.stringify(rows), scene.tenantId, scene.campaignId],
      ),
    async count(scene: Scene): Promise<number> {
      const { rows } = await pool.query(
        'select count(*)::int as count from company_research where campaign_id = $1',
        [scene.campaignId],
      );
      return rows[0].count;
    },
    async close() {
      await http.close();
      await pool.end();
    },
  };
}

/**
 * No queue at all: the same POSTs and the same rows, by the lanes that pg-boss has, and nothing that would survive a
 * crash. What no queue can beat.
 */
export function noQueue(databaseUrl: string) {
  const shared = results(databaseUrl);
  return {
    async work(companies: Company[], scene: Scene, url: string, batchSize: number): Promise<number> {
      const parts = [...inParts(companies, 500)];
      const lane = async () => {
        for (let part = parts.shift(); part; part = parts.shift()) {
          const groups = [...inParts(part, batchSize)];
          const answers = await Promise.all(groups.map((group) => shared.post(url, group)));
          await shared.store(answers.flat(), scene);
        }
      };
      await Promise.all([lane(), lane(), lane(), lane()]);
      return shared.count(scene);
    },
    close: () => shared.close(),
  };
}

export async function pgBoss(databaseUrl: string): Promise<Peer> {
  const { PgBoss } = load('pg-boss');
  const shared = results(databaseUrl);
  const boss = new PgBoss({
    connectionString: databaseUrl,
    max: connections,
    supervise: false,
    schedule: false,
  });
  boss.on('error', () => undefined);
  await boss.start();
  await boss.createQueue('research');
  return {
    name: 'pg-boss',
    batches: true,
    clear: () => shared.pool.query('delete from pgboss.job'),
    async add(all) {
      for (const companies of inParts(all, 1_000)) {
        await boss.insert(
          'research',
          companies.map((data) => ({ data })),
        );
      }
    },
    async work(scene, _, url, batchSize) {
      const lane = async () => {
        for (;;) {
          const jobs: { id: string; data: Company }[] = await boss.fetch('research', { batchSize: 500 });
          if (jobs.length === 0) return;
          const groups = Array.from({ length: Math.ceil(jobs.length / batchSize) }, (_, n) =>
            jobs.slice(n * batchSize, (n + 1) * batchSize).map((job) => job.data),
          );
          const answers = await Promise.all(groups.map((group) => shared.post(url, group)));
          await shared.store(answers.flat(), scene);
          await boss.complete(
            'research',
            jobs.map((job) => job.id),
          );
        }
      };
      await Promise.all([lane(), lane(), lane(), lane()]);
      return shared.count(scene);
    },
    async close() {
      await boss.stop({ graceful: false });
      await shared.close();
    },
  };
}

export async function graphileWorker(databaseUrl: string): Promise<Peer> {
  const { makeWorkerUtils, run, Logger } = load('graphile-worker');
  const shared = results(databaseUrl);
  const logger = new Logger(() => () => undefined);
  const utils = await makeWorkerUtils({ pgPool: shared.pool, logger });
  await utils.migrate();
  return {
    name: 'graphile-worker',
    batches: false,
    clear: () => shared.pool.query('delete from graphile_worker._private_jobs'),
    async add(all) {
      for (const companies of inParts(all, 1_000)) {
        await utils.addJobs(companies.map((payload) => ({ identifier: 'research', payload })));
      }
    },
    async work(scene, count, url) {
      let done = 0;
      const finished = Promise.withResolvers<void>();
      const runner = await run({
        pgPool: shared.pool,
        logger,
        concurrency: 50,
        noHandleSignals: true,
        preset: { worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0 } },
        taskList: {
          async research(payload: Company) {
            await shared.store(await shared.post(url, [payload]), scene);
            if (++done === count) finished.resolve();
          },
        },
      });
      await finished.promise;
      await runner.stop();
      return shared.count(scene);
    },
    async close() {
      await utils.release();
      await shared.close();
    },
  };
}

/** @returns undefined where there is no Redis server */
export async function bullMq(databaseUrl: string, home: string): Promise<Peer | undefined> {
  if (spawnSync('redis-server', ['--version']).status !== 0) return undefined;
  const { Queue, Worker } = load('bullmq');
  const port = await freePort();
  // A write that was answered is on disk, as with Postgres.
  const redis = spawn(
    'redis-server',
    [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--dir',
      home,
      '--appendonly',
      'yes',
      '--appendfsync',
      'always',
      '--save',
      '',
    ],
    { stdio: 'ignore' },
  );
  await sleep(500);
  const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };
  const shared = results(databaseUrl);
  const queue = new Queue('research', { connection });
  await queue.waitUntilReady();
  return {
    name: 'BullMQ',
    batches: false,
    clear: () => queue.obliterate({ force: true }),
    async add(all) {
      for (const companies of inParts(all, 1_000)) {
        await queue.addBulk(
          companies.map((data) => ({ name: 'research', data, opts: { removeOnComplete: true } })),
        );
      }
    },
    async work(scene, count, url) {
      let done = 0;
      const finished = Promise.withResolvers<void>();
      const worker = new Worker(
        'research',
        async ({ data }: { data: Company }) =>
          shared.store(await shared.post(url, [data]), scene).then(() => undefined),
        { connection, concurrency: 50 },
      );
      worker.on('completed', () => {
        if (++done === count) finished.resolve();
      });
      await finished.promise;
      await worker.close();
      return shared.count(scene);
    },
    async close() {
      await queue.close();
      redis.kill('SIGTERM');
      await shared.close();
    },
  };
}
