import type { Archive } from '../contract/archives.ts';
import { type ArchivedTable, archivedTables, entityOf } from './chunk.ts';
import type { Position } from './page.ts';

export type Entity = (typeof entityOf)[ArchivedTable];
export type Totals = Record<Entity, number>;

/** How far an archive or its restore is: written by each of its transactions, read by the next. */
export interface Progress {
  /** The table at hand, and the number of its last chunk; of a restore that is still verifying, the last verified. */
  table: ArchivedTable;
  number: number;
  after: Position | null;
  verified: boolean;
  moved: Totals;
  expected: Totals;
  /** Rows of a restore whose provider was deleted meanwhile: they went with it, as they would have outside. */
  omitted: Partial<Totals>;
  /** Columns that no longer exist, by table. */
  lost: Record<string, string[]>;
  /** Spent on it, waits between transactions included, pauses between invocations not. */
  ms: number;
  /** Of a restore: what of it was spent on looking at all chunks first. */
  verifyMs?: number;
  /** Of the policy that wanted it; none when somebody asked for it. */
  reason?: 'idle' | 'ended' | 'closed';
}

/** Moved by all runs together, and the time it took. */
export interface Whole {
  rows: number;
  ms: number;
}

export const none: Totals = {
  companies: 0,
  contacts: 0,
  research: 0,
  prospects: 0,
  batches: 0,
  jobs: 0,
  attempts: 0,
  lateResults: 0,
};

export const begun = (table: ArchivedTable, expected: Totals): Progress => ({
  table,
  number: 0,
  after: null,
  verified: false,
  moved: { ...none },
  expected,
  omitted: {},
  lost: {},
  ms: 0,
});

export const sum = (totals: Partial<Totals>): number =>
  Object.values(totals).reduce((all, count) => all + count, 0);

export const wholeOf = ({ moved, ms }: Progress): Whole => ({ rows: sum(moved), ms });

/** A row of `archived_campaigns` as it is kept. */
export interface Kept
  extends Omit<Archive, 'rowsMoved' | 'rowsTotal' | 'rowsPerSecond' | 'secondsLeft' | 'totals'> {
  totals: Partial<Totals>;
  progress: Partial<Progress>;
  /** A worker was seen a moment ago. */
  isMoving: boolean;
}

/** What an archive holds, and how far it is while it is made or restored. */
export function describe({ totals, progress, isMoving, ...row }: Kept): Archive {
  const isArchived = row.state === 'archived';
  const rowsMoved = isArchived ? sum(totals) : sum(progress.moved ?? {});
  const rowsTotal = isArchived ? rowsMoved : expectedRows(row.state, totals, progress);
  const rate = isArchived || !isMoving ? null : rowsPerSecond(rowsMoved, progress);
  return {
    ...row,
    rowsMoved,
    rowsTotal,
    rowsPerSecond: rate === null ? null : Math.round(rate),
    secondsLeft: rate === null || rowsTotal === null ? null : Math.ceil((rowsTotal - rowsMoved) / rate),
    totals: row.archivedAt === null ? null : totals,
  };
}

/** Over the time in which rows moved: neither pauses between invocations nor the look at all chunks count. */
function rowsPerSecond(rowsMoved: number, { ms = 0, verifyMs = 0 }: Partial<Progress>): number | null {
  const movingMs = ms - verifyMs;
  return rowsMoved > 0 && movingMs > 0 ? (rowsMoved / movingMs) * 1000 : null;
}

/** @returns null before the first transaction, which counts what there is */
function expectedRows(
  state: Archive['state'],
  totals: Partial<Totals>,
  { table, moved, expected, omitted = {} }: Partial<Progress>,
): number | null {
  if (table === undefined || moved === undefined || expected === undefined) {
    return state === 'restoring' ? sum(totals) : null;
  }
  // A restore first walks over all tables to verify them.
  if (sum(moved) === 0) return sum(expected);
  const order: readonly ArchivedTable[] =
    state === 'restoring' ? archivedTables.toReversed() : archivedTables;
  const at = order.indexOf(table);
  // A table that is through has what was moved; of another, what is expected, or more when more has come.
  return order.reduce((all, each, index) => {
    const entity = entityOf[each];
    return (
      all + (index < at ? moved[entity] : Math.max(moved[entity], expected[entity] - (omitted[entity] ?? 0)))
    );
  }, 0 as number);
}
