import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { NotFound } from '../errors.ts';
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
  /** Spent moving, waits between transactions included. */
  ms: number;
  /** Of the policy that wanted it; none when somebody asked for it. */
  reason?: 'idle' | 'ended' | 'closed';
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

export interface Archive {
  id: string;
  campaignId: string;
  name: string;
  state: 'archiving' | 'archived' | 'restoring';
  /** Moved by what is going on, or by the archiving once that is done. */
  rowsMoved: number;
  /** An estimate until the archive is complete. */
  rowsTotal: number;
  /** Null before the first rows and once nothing is moving. */
  rowsPerSecond: number | null;
  secondsLeft: number | null;
  /** Null until the archive is complete. */
  totals: Totals | null;
  archivedAt: string | null;
  createdAt: string;
  updatedAt: string;
}

interface Row {
  id: string;
  name: string;
  state: Archive['state'];
  totals: Totals;
  progress: Partial<Progress>;
  archivedAt: string | null;
  createdAt: string;
  updatedAt: string;
}

export const sum = (totals: Partial<Totals>): number =>
  Object.values(totals).reduce((all, count) => all + count, 0);

/** What an archive holds, and how far it is while it is made or restored. @throws NotFound */
export async function getArchive(db: Db, tenantId: string, id: string): Promise<Archive> {
  const [row] = await db.query<Row>(sql('archive.get')`
    select a.id, a.name, a.state, a.totals, a.progress, a.archived_at as "archivedAt",
      a.created_at as "createdAt", a.updated_at as "updatedAt"
    from archived_campaigns a
    where a.id = ${id} and a.user_id = ${tenantId}`);
  if (!row) throw new NotFound('archive', id);
  return describe(row);
}

function describe({ progress, totals, ...row }: Row): Archive {
  const isArchived = row.state === 'archived';
  const moved = progress.moved ?? none;
  const rowsMoved = isArchived ? sum(totals) : sum(moved);
  const rowsTotal = isArchived ? rowsMoved : estimate(progress, row.state);
  const ms = progress.ms ?? 0;
  const rate = !isArchived && rowsMoved > 0 && ms > 0 ? (rowsMoved / ms) * 1000 : null;
  return {
    ...row,
    campaignId: row.id,
    rowsMoved,
    rowsTotal,
    rowsPerSecond: rate === null ? null : Math.round(rate),
    secondsLeft: rate === null ? null : Math.ceil((rowsTotal - rowsMoved) / rate),
    totals: row.archivedAt === null ? null : totals,
  };
}

/** A table that is through has what was moved; of another, what is expected, or more when more has come. */
function estimate(progress: Partial<Progress>, state: Archive['state']): number {
  const { moved = none, expected = none, table } = progress;
  const order: readonly ArchivedTable[] =
    state === 'restoring' ? archivedTables.toReversed() : archivedTables;
  const at = table === undefined ? 0 : order.indexOf(table);
  return order.reduce((all, each, index) => {
    const entity = entityOf[each];
    return all + (index < at ? moved[entity] : Math.max(moved[entity], expected[entity]));
  }, 0 as number);
}
