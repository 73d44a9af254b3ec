import type { Archive } from '../contract/archives.ts';
import type { Db } from '../db/connect.ts';
import { isLockTrouble } from '../db/locks.ts';
import { type Statement, sql } from '../db/sql.ts';
import { type Pace, politePace } from './pace.ts';
import type { Progress, Totals, Whole } from './progress.ts';

export interface Deps {
  /** As aim_worker: only that role passes the guard. */
  db: Db;
  log: { info(event: string, fields: Record<string, unknown>): void };
  clock: () => number;
  sleep: (ms: number) => Promise<unknown>;
}

export interface RunOptions {
  /** How long this invocation may still run. */
  remainingMs: () => number;
  pace?: Pace;
  /** At most and by default 1,000. */
  rowsPerChunk?: number;
  /** Tells that it came to its end, in the transaction of that end: a crash leaves both or none. */
  tell?: Tell | undefined;
}

export type Tell = (tx: Db, whole: Whole) => Promise<void>;

export interface Ran {
  /** Nothing is left to do, also when the campaign was deleted meanwhile. */
  done: boolean;
  /** Moved by this run. */
  rows: number;
}

export interface Held {
  id: string;
  tenantId: string;
  state: Archive['state'];
  totals: Totals;
  progress: Partial<Progress>;
  checksum: Buffer | null;
  deleted: boolean;
}

export interface Step {
  /** The table at hand. */
  kind: string;
  rows: number;
  chunks: number;
  done: boolean;
}

/** No transaction is begun that the time left may be too short for. */
export const reserveMs = 5_000;
const statisticsMs = 3_000;
/** Deadlocks and lock timeouts in a row that are no reason to stop. */
const patience = 3;

/**
 * Takes the archive for this transaction: two runners move in turns, each from where the other got to. Names the
 * campaign, so that the guard lets this transaction through.
 */
export async function holdArchive(tx: Db, archiveId: string): Promise<Held | undefined> {
  await tx.query(sql('archive.pass')`
    select set_config('aim.archiver', ${archiveId}, true), set_config('timezone', 'UTC', true),
      set_config('datestyle', 'ISO', true),
      set_config('jit', 'off', true),
      -- A step's rows, which are bounded, and not in temporary files.
      set_config('work_mem', '32MB', true),
      -- A crash of the server takes back the last steps as wholes; only the end must be for good when it is told.
      set_config('synchronous_commit', 'off', true)`);
  const [held] = await tx.query<Held>(sql('archive.lock')`
    select a.id, a.user_id as "tenantId", a.state, a.totals, a.progress, a.checksum,
      not exists (select from campaigns c where c.id = a.id and c.deleted_at is null) as deleted
    from archived_campaigns a where a.id = ${archiveId} for update`);
  return held;
}

/** Whoever is told that it is done may rely on it. */
export async function forGood(tx: Db): Promise<void> {
  await tx.query(sql('archive.for_good')`set local synchronous_commit to default`);
}

export async function saveProgress(tx: Db, archiveId: string, progress: Progress): Promise<void> {
  await tx.query(sql('archive.progress')`
    update archived_campaigns set progress = ${JSON.stringify(progress)}::jsonb, updated_at = clock_timestamp()
    where id = ${archiveId}`);
}

/** How busy the database is; its statistics are open to every role, and up to a second old. */
const look: Statement = sql('archive.look')`
  select xact_commit + xact_rollback as transactions from pg_stat_database where datname = current_database()`;

/**
 * Does step after step, each in a transaction of its own, until done or out of time.
 * @param step may ask once for the ms since the step before asked, to write them down with what it did
 * @param again asked about an error of a step: whether another try makes sense
 */
export async function repeat(
  { db, clock, sleep }: Deps,
  { remainingMs, pace = politePace() }: RunOptions,
  step: (tx: Db, options: { chunks: number; elapsedMs: () => number }) => Promise<Step>,
  { again = () => false }: { again?: (error: unknown) => boolean } = {},
): Promise<Ran> {
  let rows = 0;
  // A transaction cannot write down its own end: the next one counts it.
  let markedAt = clock();
  const elapsedMs = () => {
    const since = markedAt;
    markedAt = clock();
    return Math.max(0, Math.round(markedAt - since));
  };
  let seen = { at: clock(), transactions: 0 };
  let crossed = 0;
  while (remainingMs() > reserveMs) {
    const begun = clock();
    const { chunks } = pace;
    const moved = await db
      .transaction((tx) => step(tx, { chunks, elapsedMs }))
      .catch((error: unknown) => {
        // It was rolled back, and nothing of it is left.
        if (isLockTrouble(error) && crossed++ < patience) return undefined;
        if (again(error)) return undefined;
        throw error;
      });
    if (!moved) continue;
    const ended = clock();
    crossed = 0;
    rows += moved.rows;
    if (moved.done) return { done: true, rows };
    const [now] = await db.query<{ transactions: number }>(look);
    const looked = { at: clock(), transactions: now?.transactions ?? 0 };
    const wait = pace.after({
      ...moved,
      ms: ended - begun,
      lookMs: looked.at - ended,
      transactions: seen.transactions === 0 ? 0 : looked.transactions - seen.transactions,
      sinceMs: looked.at - seen.at,
    });
    // Statistics come once a second: a span of at least so long.
    if (seen.transactions === 0 || looked.at - seen.at > statisticsMs) seen = looked;
    if (wait >= 1) await sleep(wait);
  }
  return { done: false, rows };
}
