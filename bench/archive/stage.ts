import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Deps } from '../../core/archive/step.ts';
import { type Connection, connect, type Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { logins } from '../engine/limits.ts';
import { run } from '../schema/million.ts';
import { aWorld, type World } from '../world.ts';
import { tables } from './campaign.ts';

/** A server of its own with the roles as deployed, that says so when somebody waits for a lock. */
export interface Stage {
  world: World;
  db: Db;
  tenantId: string;
  urls: { api: string; worker: string };
  api: Connection;
  worker: Connection;
  /** What the archiver runs with, as deployed: alone on its connection, waiting for real. */
  deps: Deps;
  /** Statements and transactions that the archiver sent, and how long the longest of these took. */
  count: { statements: number; transactions: number; longestMs: number };
  close(): Promise<void>;
}

/** A lock that is waited for longer than this is logged. */
export const lockWaitMs = 200;

export async function aStage(): Promise<Stage> {
  const world = await aWorld();
  // A million rows are loaded in one statement.
  const db = connect(world.url, { max: 4, statementTimeoutMs: 3_600_000 });
  await run(db, 'alter system set log_lock_waits = on');
  await run(db, `alter system set deadlock_timeout = '${lockWaitMs}ms'`);
  await run(db, 'select pg_reload_conf()');
  const urls = await logins(world);
  const api = connect(urls.api, { max: 2 });
  const worker = connect(urls.worker, { max: 1, statementTimeoutMs: 3_600_000 });
  const count = { statements: 0, transactions: 0, longestMs: 0 };
  const counted = (inner: Db): Db => ({
    query(statement) {
      count.statements++;
      return inner.query(statement);
    },
    async transaction(work) {
      count.transactions++;
      const startedAt = performance.now();
      const result = await inner.transaction((tx) => work(counted(tx)));
      count.longestMs = Math.max(count.longestMs, performance.now() - startedAt);
      return result;
    },
  });
  const deps = { db: counted(worker), log: { info: () => undefined }, clock: Date.now, sleep };
  return {
    ...{ world, db, tenantId: world.tenantId, urls, api, worker, deps, count },
    async close() {
      await db.close();
      await api.close();
      await worker.close();
      await world.close();
    },
  };
}

/** What somebody else would have done by the time it is needed; no figure has it in it. */
export async function tidy(db: Db): Promise<void> {
  for (const table of [...tables, 'archive_chunks', 'archive_lookup', 'archived_campaigns', 'changes']) {
    await run(db, `vacuum analyze ${table}`);
  }
  await run(db, 'checkpoint');
}

/** Bytes on disk of the given tables with all that belongs to them. */
export async function sizeOf(db: Db, names: readonly string[]): Promise<number> {
  const [size] = await db.query<{ bytes: number }>(sql('bench.size')`
    select sum(pg_total_relation_size(name::regclass))::bigint as bytes from unnest(${names}::text[]) name`);
  return size?.bytes ?? 0;
}

/** Bytes of WAL that the server wrote meanwhile, of everybody. */
export async function walOf<Result>(db: Db, work: () => Promise<Result>) {
  const at = async () => {
    const [row] = await db.query<{ bytes: number }>(sql('bench.wal')`
      select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint as bytes`);
    return row?.bytes ?? 0;
  };
  const before = await at();
  const result = await work();
  return { result, walBytes: (await at()) - before };
}

export const logOf = (world: World) => join(world.home, 'postgres.log');
