import type { Db } from '../db/connect.ts';
import { type Fragment, sql } from '../db/sql.ts';
import { AimError, Conflict, NotFound } from '../errors.ts';
import { type ArchivedTable, archivedTables, entityOf, inMemory, isIntact, ofJobs } from './chunk.ts';
import {
  type Column,
  columnOf,
  columnsOf,
  type KeptColumn,
  list,
  type Restoring,
  restoring,
} from './columns.ts';
import { isKey, ownIfErased } from './forget/keys.ts';
import { begun, type Progress, wholeOf } from './progress.ts';
import type { Started } from './start.ts';
import {
  type Deps,
  forGood,
  type Held,
  holdArchive,
  type Ran,
  type RunOptions,
  repeat,
  type Step,
  saveProgress,
} from './step.ts';

const order = archivedTables.toReversed();
const chunksPerLook = 50;
/** As they are stored, that is compressed. */
const maxStepBytes = 4_000_000;

/** A chunk is not what was archived. Nothing was restored from it. */
export class DamagedArchive extends AimError {
  constructor(archiveId: string, what: string) {
    super(`archive ${archiveId} is damaged: ${what}; bring it back from a backup of the database`, {
      code: 'archive_damaged',
      status: 409,
    });
  }
}

/** Asks for an archive back; `runRestore` does it. Begun again, it answers the same. @throws NotFound, Conflict */
export function startRestore(db: Db, tenantId: string, archiveId: string): Promise<Started> {
  return db.transaction(async (tx) => {
    const [archive] = await tx.query<{ state: Started['state'] }>(sql('restore.hold')`
      select state from archived_campaigns a
      where id = ${archiveId} and user_id = ${tenantId} and to_jsonb(a) ->> 'purging_at' is null
        and exists (select from campaigns c where c.id = a.id and c.deleted_at is null)
      for update of a`);
    if (!archive) throw new NotFound('archive', archiveId);
    if (archive.state === 'archiving') {
      throw new Conflict(
        'archive_unfinished',
        `archive ${archiveId} is still being made; restore it once it is done`,
      );
    }
    await tx.query(sql('restore.begin')`
      update archived_campaigns set state = 'restoring', progress = '{}', updated_at = now()
      where id = ${archiveId} and state = 'archived'`);
    return { archiveId, state: 'restoring' };
  });
}

/**
 * Brings the rows of an archive back under the ids they had. First all chunks are looked at, and only when each is what
 * was archived does anything change; then each transaction takes some chunks, looks again, writes their rows and
 * deletes them. So a kill at any statement loses nothing and the next run goes on from there; two at once take turns.
 * @throws NotFound, and DamagedArchive that names the table and chunk: the archive then stays as it is
 */
export async function runRestore(deps: Deps, archiveId: string, options: RunOptions): Promise<Ran> {
  const columns = new Map<ArchivedTable, Column[]>();
  const ended: Progress[] = [];
  try {
    const ran = await repeat(deps, options, async (tx, { chunks, elapsedMs }) => {
      // First, as whoever deletes the campaign does.
      await tx.query(
        sql('restore.campaign')`select id from campaigns where id = ${archiveId} for no key update`,
      );
      const held = await holdArchive(tx, archiveId);
      // Gone: another runner has finished.
      if (held?.state !== 'restoring' || held.deleted) return { kind: '', rows: 0, chunks: 0, done: true };
      const progress = isBegun(held.progress) ? held.progress : begun('companies', held.totals);
      if (!progress.verified) {
        await verify(tx, held, progress);
        progress.ms += elapsedMs();
        progress.verifyMs = progress.ms;
        await saveProgress(tx, archiveId, progress);
        return { kind: 'verify', rows: 0, chunks: 0, done: false };
      }
      const known = columns.get(progress.table) ?? (await columnsOf(tx, progress.table));
      columns.set(progress.table, known);
      const step = await restore(tx, held, progress, known, chunks);
      progress.ms += elapsedMs();
      if (step.done) {
        await options.tell?.(tx, wholeOf(progress));
        ended.push(progress);
      } else await saveProgress(tx, archiveId, progress);
      return step;
    });
    const whole = ended.at(-1);
    if (whole) {
      const { moved, omitted, lost } = whole;
      deps.log.info('archive.restored', { archiveId, ...moved, omitted, lost });
    }
    return ran;
  } catch (error) {
    if (error instanceof DamagedArchive) await giveUp(deps.db, archiveId);
    throw error;
  }
}

const isBegun = (progress: Partial<Progress>): progress is Progress => progress.table !== undefined;

/** The next chunks against their hashes; after the last, all of them against the archive's checksum. */
async function verify(tx: Db, { id, checksum }: Held, progress: Progress): Promise<void> {
  const looked = await tx.query<{ table: ArchivedTable; number: number; intact: boolean }>(sql(
    'restore.verify',
  )`
    select table_name as table, number,
      ${isIntact} as intact
    from archive_chunks
    where archive_id = ${id} and table_name = ${progress.table} and number > ${progress.number}
    order by number limit ${chunksPerLook}`);
  const bad = looked.find(({ intact }) => !intact);
  if (bad) throw new DamagedArchive(id, `chunk ${bad.number} of ${bad.table} is not what was archived`);
  const next = order[order.indexOf(progress.table) + 1];
  if (looked.length === chunksPerLook) progress.number = looked.at(-1)?.number ?? 0;
  else if (next) Object.assign(progress, { table: next, number: 0 });
  else {
    const [whole] = await tx.query<{ checksum: Buffer }>(sql('restore.checksum')`
      select aim.archive_checksum(${id}) as checksum`);
    if (!checksum || !whole?.checksum.equals(checksum))
      throw new DamagedArchive(id, 'a chunk is missing or was replaced');
    Object.assign(progress, { table: order[0], number: 0, verified: true });
  }
}

/** Some chunks of one table, all with the same columns. */
async function restore(tx: Db, held: Held, progress: Progress, now: Column[], limit: number): Promise<Step> {
  const { table } = progress;
  const [next] = await tx.query<{ numbers: number[]; columns: KeptColumn[] }>(sql('restore.next')`
    with sized as (
      select number, columns, sum(pg_column_size(rows)) over (order by number) - pg_column_size(rows) as bytes_before
      from archive_chunks
      where archive_id = ${held.id} and table_name = ${table} order by number limit ${limit}
    ), next as (
      select number, columns from sized where bytes_before < ${maxStepBytes}
    ), first as (select columns from next order by number limit 1)
    select array_agg(number order by number) as numbers, columns from next join first using (columns) group by columns`);
  if (!next) return turn(tx, held, progress);
  const chunks = sql.fragment`archive_id = ${held.id} and table_name = ${table} and number = any(${next.numbers}::int[])`;
  const looked = await tx.query<{ number: number; rows: number; intact: boolean }>(sql('restore.check')`
    select number, row_count as rows, ${isIntact} as intact
    from archive_chunks where ${chunks} order by number for update`);
  const bad = looked.find(({ intact }) => !intact);
  if (bad) throw new DamagedArchive(held.id, `chunk ${bad.number} of ${table} is not what was archived`);
  const expected = looked.reduce((all, { rows }) => all + rows, 0);

  const restored = restoring(next.columns.map(columnOf), now);
  if (restored.lost.length > 0) progress.lost[table] = restored.lost;
  const written = await insert(tx, held, table, chunks, restored);
  const entity = entityOf[table];
  if (written !== expected) {
    if (!needsProvider[table]) throw new Error(`${table}: ${written} of ${expected} rows came back`);
    progress.omitted[entity] = (progress.omitted[entity] ?? 0) + expected - written;
  }
  await tx.query(sql('restore.forget')`delete from archive_chunks where ${chunks}`);
  progress.moved[entity] += written;
  return { kind: table, rows: written, chunks: next.numbers.length, done: false };
}

/** Whoever deleted a provider deleted its batches, jobs and attempts: these do not come back either. */
const needsProvider: Partial<Record<ArchivedTable, (value: (name: string) => Fragment) => Fragment>> = {
  research_batches: (value) =>
    sql.fragment`exists (select from research_providers p where p.id = ${value('provider_id')})`,
  research_jobs: (value) =>
    sql.fragment`exists (select from research_batches b where b.id = ${value('batch_id')})`,
  late_results: (value) =>
    sql.fragment`exists (select from research_attempts a where a.id = ${value('attempt_id')})`,
  research_attempts: (value) => sql.fragment`
    exists (select from research_jobs j where j.id = ${value('job_id')})
    and exists (select from research_providers p where p.id = ${value('provider_id')})`,
};

async function insert(
  tx: Db,
  held: Held,
  table: ArchivedTable,
  chunks: Fragment,
  { names, values, source }: Restoring,
): Promise<number> {
  const owner = ofJobs(table) ? sql.fragment`user_id` : sql.fragment`user_id, campaign_id`;
  const owned = ofJobs(table)
    ? sql.fragment`${held.tenantId}::uuid`
    : sql.fragment`${held.tenantId}::uuid, ${held.id}::uuid`;
  const columns = names.map(({ strings }) => strings[0]?.slice(1, -1) ?? '');
  const valueNamed = (name: string) => values[columns.indexOf(name)] ?? sql.fragment`null`;
  // Older erasures left the same key in two rows.
  const own = values.map((value, index) =>
    isKey(table, columns[index] ?? '') ? ownIfErased(value, valueNamed('id')) : value,
  );
  const condition = needsProvider[table]?.(valueNamed) ?? sql.fragment`true`;
  const [written] = await tx.query<{ rows: number }>(sql(`restore.write.${table}`)`
    with written as (
      insert into ${sql.identifier(table)} (${owner}, ${list(names)})
      select ${owned}, ${list(own)}
      from ${inMemory(chunks)} k cross join lateral ${source}
      where ${condition}
      order by k.number, r.place
      returning 1
    )
    select count(*) as rows from written`);
  return written?.rows ?? 0;
}

/** To the next table or, after the last, to the end: the campaign is active again, and the archive is gone. */
async function turn(tx: Db, held: Held, progress: Progress): Promise<Step> {
  const next = order[order.indexOf(progress.table) + 1];
  progress.table = next ?? progress.table;
  if (next) return { kind: 'verify', rows: 0, chunks: 0, done: false };
  await forGood(tx);
  await tx.query(sql('restore.activate')`
    update campaigns set archived = false, archived_at = null, version = version + 1, updated_at = now()
    where id = ${held.id}`);
  await tx.query(sql('restore.end')`delete from archived_campaigns where id = ${held.id}`);
  return { kind: '', rows: 0, chunks: 0, done: true };
}

/** It was not touched, and is again what it was before somebody asked. One found later stays, half restored. */
async function giveUp(db: Db, archiveId: string): Promise<void> {
  await db.query(sql('restore.give_up')`
    update archived_campaigns set state = 'archived', updated_at = now()
    where id = ${archiveId} and state = 'restoring' and not coalesce((progress ->> 'verified')::boolean, false)`);
}
