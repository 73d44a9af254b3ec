import { runRestore, startRestore } from '../../core/archive/restore.ts';
import { runArchive } from '../../core/archive/run.ts';
import { startArchive } from '../../core/archive/start.ts';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { run } from '../schema/million.ts';
import { tables } from './campaign.ts';
import { serverPeakMb } from './memory.ts';
import { type Stage, walOf } from './stage.ts';

export interface Measured {
  rows: number;
  seconds: number;
  rowsPerSecond: number;
  statements: number;
  transactions: number;
  walBytes: number;
  longestMs: number;
  serverPeakMb: number;
}

const unhurried = { remainingMs: () => 3_600_000 };

/** Ours, from the request to its end: hashes, JSON, index and all, at its own pace. */
export function archive(stage: Stage, campaignId: string): Promise<Measured> {
  return measured(stage, async () => {
    await startArchive(stage.api.forTenant(stage.tenantId), stage.tenantId, campaignId, {
      cancelOpenJobs: false,
    });
    return (await runArchive(stage.deps, campaignId, unhurried)).rows;
  });
}

export function restore(stage: Stage, campaignId: string): Promise<Measured> {
  return measured(stage, async () => {
    await startRestore(stage.api.forTenant(stage.tenantId), stage.tenantId, campaignId);
    return (await runRestore(stage.deps, campaignId, unhurried)).rows;
  });
}

/** Tables without indexes or constraints, beside the real ones, for the bare way. */
export async function makeCopies(db: Db): Promise<void> {
  await run(db, 'create schema bare; grant usage on schema bare to aim_worker');
  for (const table of tables) {
    await run(
      db,
      `create table bare.${table} (like public.${table}); grant insert on bare.${table} to aim_worker`,
    );
  }
}

/**
 * The bare way: of each table one statement that deletes the rows of a campaign and inserts them into a plain table, all
 * seven in one transaction, children first. No hash, no JSON, no look at what was written, no way to go on after a kill.
 * Everything else is as for ours: the same role, tables, indexes, foreign keys, triggers and durability; the campaign is
 * marked as archived and passes the guard, so that deleting writes nothing to the change feed here either.
 */
export function bare(stage: Stage, campaignId: string): Promise<Measured> {
  return measured(stage, async () => {
    await startArchive(stage.api.forTenant(stage.tenantId), stage.tenantId, campaignId, {
      cancelOpenJobs: false,
    });
    return stage.deps.db.transaction(async (tx) => {
      await tx.query(sql('bare.pass')`select set_config('aim.archiver', ${campaignId}, true)`);
      let rows = 0;
      for (const table of ofChildrenFirst) rows += await move(tx, table, campaignId);
      return rows;
    });
  });
}

const ofChildrenFirst = [
  'research_attempts',
  'research_jobs',
  'research_batches',
  'prospect_research',
  'company_research',
  'contacts',
  'companies',
] as const;

async function move(tx: Db, table: (typeof tables)[number], campaignId: string): Promise<number> {
  const of = sql.fragment`select id from research_batches where campaign_id = ${campaignId}`;
  const where =
    table === 'research_attempts'
      ? sql.fragment`job_id in (select id from research_jobs where batch_id in (${of}))`
      : table === 'research_jobs'
        ? sql.fragment`batch_id in (${of})`
        : sql.fragment`campaign_id = ${campaignId}`;
  const [moved] = await tx.query<{ rows: number }>(sql(`bare.${table}`)`
    with d as (
      delete from ${sql.identifier(table)} where ${where} returning *
    ), kept as (
      insert into bare.${sql.identifier(table)} select * from d returning 1
    )
    select count(*) as rows from kept`);
  return moved?.rows ?? 0;
}

async function measured(stage: Stage, work: () => Promise<number>): Promise<Measured> {
  const before = { ...stage.count };
  stage.count.longestMs = 0;
  const startedAt = performance.now();
  let seconds = 0;
  const { result, walBytes } = await walOf(stage.db, () =>
    serverPeakMb({ connection: stage.worker, other: stage.db }, async () => {
      const rows = await work();
      seconds = (performance.now() - startedAt) / 1000;
      return rows;
    }),
  );
  const rows = result.result;
  return {
    ...{ rows, seconds, rowsPerSecond: rows / seconds, walBytes, serverPeakMb: result.peakMb },
    longestMs: stage.count.longestMs,
    statements: stage.count.statements - before.statements,
    transactions: stage.count.transactions - before.transactions,
  };
}
