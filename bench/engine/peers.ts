import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { Pool } from 'undici';
import { root } from '../../local/stack/paths.ts';
import { freePort } from '../../local/stack/ports.ts';

const folder = join(root, 'bench', 'peers');
export const connections = 8;

/** A job queue that others use, at its best settings, over the same Postgres (BullMQ: a Redis that syncs every write). */
export interface Peer {
  name: string;
  /** Adds jobs in bulk, a thousand a call. */
  add(count: number): Promise<void>;
  /** Works all of them off: the same POSTs, the same result row. @returns how many results are stored */
  work(count: number, url: string, batchSize: number): Promise<number>;
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

interface Company {
  id: string;
  name: string;
  domain: string;
}
const company = (n: number): Company => ({
  id: `00000000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`,
  name: `Company ${n}`,
  domain: `company-${n}.example`,
});
function* thousands(count: number): Generator<Company[]> {
  for (let from = 0; from < count; from += 1_000) {
    yield Array.from({ length: Math.min(1_000, count - from) }, (_, n) => company(from + n));
  }
}

/** What all peers share: the POST, and a table of results with the columns and the key of ours. */
async function results(databaseUrl: string, name: string) {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: connections });
  const table = `peer_${name}`;
  await pool.query(`drop table if exists ${table}; create table ${table} (
    id uuid primary key default uuidv7(), company_id uuid not null, kind text not null, summary text,
    findings jsonb not null, sources jsonb not null, created_at timestamptz not null default now(),
    unique (company_id, kind))`);
  let client: Pool | undefined;
  return {
    pool,
    async post(url: string, companies: Company[]): Promise<unknown[]> {
      client ??= new Pool(new URL(url).origin, { connections: 50 });
      const requests = companies.map((each) => ({
        jobId: each.id,
        attemptId: each.id,
        kind: 'company',
        company: each,
      }));
      const { body } = await client.request({
        path: '/',
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ type: 'research.requested', requests }),
      });
      return ((await body.json()) as { results: unknown[] }).results;
    },
    store: (rows: unknown[]) =>
      pool.query(
        `insert into ${table} (company_id, kind, summary, findings, sources)
         select "jobId", 'company', research->>'summary', research->'findings', '[]'
         from jsonb_to_recordset($1::jsonb) as r ("jobId" uuid, research jsonb)
         on conflict (company_id, kind) do update set summary = excluded.summary, findings = excluded.findings`,
        [JSON.stringify(rows)],
      ),
    async count(): Promise<number> {
      const { rows } = await pool.query(`select count(*)::int as count from ${table}`);
      return rows[0].count;
    },
    async close() {
      await client?.close();
      await pool.end();
    },
  };
}

export async function pgBoss(databaseUrl: string): Promise<Peer> {
  const { PgBoss } = load('pg-boss');
  const shared = await results(databaseUrl, 'pgboss');
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
    async add(count) {
      for (const companies of thousands(count)) {
        await boss.insert(
          'research',
          companies.map((data) => ({ data })),
        );
      }
    },
    async work(_, url, batchSize) {
      const lane = async () => {
        for (;;) {
          const jobs: { id: string; data: Company }[] = await boss.fetch('research', { batchSize: 500 });
          if (jobs.length === 0) return;
          const groups = Array.from({ length: Math.ceil(jobs.length / batchSize) }, (_, n) =>
            jobs.slice(n * batchSize, (n + 1) * batchSize).map((job) => job.data),
          );
          const answers = await Promise.all(groups.map((group) => shared.post(url, group)));
          await shared.store(answers.flat());
          await boss.complete(
            'research',
            jobs.map((job) => job.id),
          );
        }
      };
      await Promise.all([lane(), lane(), lane(), lane()]);
      return shared.count();
    },
    async close() {
      await boss.stop({ graceful: false });
      await shared.close();
    },
  };
}

export async function graphileWorker(databaseUrl: string): Promise<Peer> {
  const { makeWorkerUtils, run, Logger } = load('graphile-worker');
  const shared = await results(databaseUrl, 'graphile');
  const logger = new Logger(() => () => undefined);
  const utils = await makeWorkerUtils({ pgPool: shared.pool, logger });
  await utils.migrate();
  return {
    name: 'graphile-worker',
    batches: false,
    async add(count) {
      for (const companies of thousands(count)) {
        await utils.addJobs(companies.map((payload) => ({ identifier: 'research', payload })));
      }
    },
    async work(count, url) {
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
            await shared.store(await shared.post(url, [payload]));
            if (++done === count) finished.resolve();
          },
        },
      });
      await finished.promise;
      await runner.stop();
      return shared.count();
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
  const shared = await results(databaseUrl, 'bullmq');
  const queue = new Queue('research', { connection });
  await queue.waitUntilReady();
  return {
    name: 'BullMQ',
    batches: false,
    async add(count) {
      for (const companies of thousands(count)) {
        await queue.addBulk(
          companies.map((data) => ({ name: 'research', data, opts: { removeOnComplete: true } })),
        );
      }
    },
    async work(count, url) {
      let done = 0;
      const finished = Promise.withResolvers<void>();
      const worker = new Worker(
        'research',
        async ({ data }: { data: Company }) =>
          shared.store(await shared.post(url, [data])).then(() => undefined),
        { connection, concurrency: 50 },
      );
      worker.on('completed', () => {
        if (++done === count) finished.resolve();
      });
      await finished.promise;
      await worker.close();
      return shared.count();
    },
    async close() {
      await queue.close();
      redis.kill('SIGTERM');
      await shared.close();
    },
  };
}
