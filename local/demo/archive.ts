import { createHash } from 'node:crypto';
import { type ArchivedTable, archivedTables, entityOf, keyOf, ofJobs } from '../../core/archive/chunk.ts';
import { type Connection, connect, type Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import type { Api } from '../api.ts';
import { sleep } from '../stack/processes.ts';

const everyMs = 100;
const stuckMs = 5 * 60_000;

interface Rows {
  counts: Record<string, number>;
  total: number;
  /** Of every column of every row. */
  digest: string;
}
interface Event {
  campaignId: string;
  action: 'archive' | 'restore' | 'purge';
  outcome: 'done' | 'failed';
  errorMessage: string | null;
  rows: number;
  ms: number;
}

/**
 * Archives the campaign and restores it, over the API and by the archive function, and looks into the database before,
 * between and after. @returns whether every row is there again as it was
 */
export async function archiveAndRestore(
  api: Api,
  run: { databaseUrl: string; campaignId: string },
): Promise<boolean> {
  const { campaignId } = run;
  const db: Connection = connect(run.databaseUrl);
  try {
    const before = await still(db, campaignId);
    console.log('\nInto the archive and back, by the function that does it every night:');
    await api('POST', `/v1/campaigns/${campaignId}/archive`, {});
    const archived = await ended(api, campaignId, 'archive');
    const [live, kept] = [await rowsOf(db, campaignId), await chunksOf(db, campaignId)];
    const all = Object.entries(before.counts).filter(([, rows]) => rows > 0);
    console.log(`  archived  ${speed(archived)}: ${all.map(([what, rows]) => `${rows} ${what}`).join(', ')}`);

    await api('POST', `/v1/campaigns/${campaignId}/restore`, {});
    console.log(`  restored  ${speed(await ended(api, campaignId, 'restore'))}`);
    const after = await rowsOf(db, campaignId);

    const counts = before.total === kept && live.total === 0 && before.total === after.total;
    const same = before.digest === after.digest;
    console.log(
      `  rows      ${before.total} before, ${live.total} live and ${kept} in the archive between, ${after.total} after`,
    );
    console.log(
      `  verified  ${counts ? 'no row lost' : 'ROWS ARE MISSING'}, every column ${same ? 'identical' : 'NOT AS BEFORE'}: sha256 ${before.digest.slice(0, 12)}… before, ${after.digest.slice(0, 12)}… after`,
    );
    return counts && same;
  } finally {
    await db.close();
  }
}

const speed = ({ rows, ms }: Event) =>
  `${rows} rows in ${(ms / 1000).toFixed(1)} s, ${Math.round((rows / Math.max(ms, 1)) * 1000)} rows/s`;

/** What was on its way when the research ended, an answer to an ask that was given up, has its end written first. */
async function still(db: Db, campaignId: string): Promise<Rows> {
  let last = await rowsOf(db, campaignId);
  for (let looks = 0; looks < 20; looks++) {
    await sleep(700);
    const now = await rowsOf(db, campaignId);
    if (now.digest === last.digest) return now;
    last = now;
  }
  return last;
}

/** Waits for what the tenant's report says of it. @throws Error when it failed, or takes longer than five minutes */
async function ended(api: Api, campaignId: string, action: Event['action']): Promise<Event> {
  for (const startedAt = Date.now(); Date.now() - startedAt < stuckMs; await sleep(everyMs)) {
    const { data } = await api<{ data: Event[] }>('GET', '/v1/archives/events?limit=10');
    const event = data.find((one) => one.campaignId === campaignId && one.action === action);
    if (event?.outcome === 'failed') throw new Error(`the ${action} failed: ${event.errorMessage}`);
    if (event) return event;
  }
  throw new Error(`the ${action} of campaign ${campaignId} has not ended for five minutes`);
}

/** The live rows of a campaign in all tables that are archived. */
async function rowsOf(db: Db, campaignId: string): Promise<Rows> {
  const counts: Record<string, number> = {};
  const digest = createHash('sha256');
  for (const table of archivedTables.toReversed()) {
    const [found] = await db.query<{ rows: number; digest: string }>(sql('demo.rows')`
      select count(*) as rows, encode(sha256(convert_to(coalesce(string_agg(
        encode(sha256(convert_to(t::text, 'UTF8')), 'hex'), '' order by t.${sql.identifier(keyOf(table))}), ''), 'UTF8')), 'hex') as digest
      from ${sql.identifier(table)} t where ${belongs(table, campaignId)}`);
    counts[entityOf[table]] = found?.rows ?? 0;
    digest.update(`${table} ${found?.rows} ${found?.digest}\n`);
  }
  const total = Object.values(counts).reduce((sum, rows) => sum + rows, 0);
  return { counts, total, digest: digest.digest('hex') };
}

const belongs = (table: ArchivedTable, campaignId: string) =>
  ofJobs(table)
    ? sql.fragment`t.job_id in (select j.id from research_batches b join research_jobs j on j.batch_id = b.id
        where b.campaign_id = ${campaignId})`
    : sql.fragment`t.campaign_id = ${campaignId}`;

async function chunksOf(db: Db, campaignId: string): Promise<number> {
  const [found] = await db.query<{ rows: number }>(sql('demo.chunks')`
    select coalesce(sum(aim.chunk_size(rows)), 0)::bigint as rows from archive_chunks where archive_id = ${campaignId}`);
  return found?.rows ?? 0;
}
