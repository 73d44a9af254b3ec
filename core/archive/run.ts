import type { Db } from '../db/connect.ts';
import { type Fragment, sql } from '../db/sql.ts';
import { NotFound } from '../errors.ts';
import {
  type ArchivedTable,
  archivedTables,
  entityOf,
  inMemory,
  isIntact,
  keyOf,
  rowsPerChunk as maxRowsPerChunk,
  ofJobs,
} from './chunk.ts';
import { type Column, columnsOf, folded, keptOf, sliced } from './columns.ts';
import { nextRows, type Position } from './page.ts';
import { begun, none, type Progress, type Totals, wholeOf } from './progress.ts';
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

/**
 * Moves the rows of a campaign that `startArchive` marked into chunks, in bounded transactions: each writes some chunks,
 * reads them back, deletes the rows they name, and notes how far it is. So a kill at any statement loses nothing and the
 * next run goes on from there; two at once take turns.
 * @throws NotFound for an unknown archive
 */
export async function runArchive(deps: Deps, archiveId: string, options: RunOptions): Promise<Ran> {
  let { rowsPerChunk = maxRowsPerChunk } = options;
  const ended: Progress[] = [];
  const columns = new Map<ArchivedTable, Column[]>();
  const step = async (
    tx: Db,
    { chunks, elapsedMs }: Parameters<Parameters<typeof repeat>[2]>[1],
  ): Promise<Step> => {
    const held = await holdArchive(tx, archiveId);
    if (!held) throw new NotFound('archive', archiveId);
    if (held.state !== 'archiving' || held.deleted) return { kind: '', rows: 0, chunks: 0, done: true };
    const progress = isBegun(held.progress)
      ? held.progress
      : { ...(await first(tx, held)), ...held.progress };
    const kind = progress.table;
    const known = columns.get(kind) ?? (await columnsOf(tx, kind));
    columns.set(kind, known);
    const moved = await move(tx, held, progress, known, { chunks, rowsPerChunk });
    progress.moved[entityOf[kind]] += moved.rows;
    progress.after = moved.after ?? progress.after;
    progress.number += moved.chunks;
    progress.ms += elapsedMs();
    const done = moved.isLast && (await turn(tx, held, progress));
    if (done) {
      await options.tell?.(tx, wholeOf(progress));
      ended.push(progress);
    } else await saveProgress(tx, archiveId, progress);
    return { kind, rows: moved.rows, chunks: moved.chunks, done };
  };
  const again = (error: unknown) => {
    if (!isTooLarge(error) || rowsPerChunk === 1) return false;
    rowsPerChunk = Math.max(1, Math.floor(rowsPerChunk / 8));
    return true;
  };
  const ran = await repeat(deps, options, step, { again });
  const whole = ended.at(-1);
  if (whole) deps.log.info('archive.archived', { archiveId, ...whole.moved });
  return ran;
}

/** An array of JSON ends at 256 MB; rows that compress well may be that much, though little is stored of them. */
const isTooLarge = (error: unknown) => ['54000', '53200'].includes((error as { code?: string }).code ?? '');

const isBegun = (progress: Partial<Progress>): progress is Progress => progress.table !== undefined;

interface Moved {
  rows: number;
  chunks: number;
  after: Position | null;
  /** Nothing is left behind it. */
  isLast: boolean;
}

/** Some rows of one table: written, read back, deleted. */
async function move(
  tx: Db,
  held: Held,
  progress: Progress,
  columns: Column[],
  size: { chunks: number; rowsPerChunk: number },
): Promise<Moved> {
  const { table, number, after } = progress;
  const limit = size.chunks * size.rowsPerChunk;
  const names = JSON.stringify(columns.map(keptOf));
  const [written] = await tx.query<{
    rows: number;
    seen: number;
    chunks: number;
    after: Position | null;
  }>(sql(`archive.write.${table}`)`
    with ${nextRows({ table, columns }, held.id, after, limit)}, part as (
      select first, least(first + ${size.rowsPerChunk}::int, taken) as last
      from page cross join lateral generate_series(0, taken - 1, ${size.rowsPerChunk}::int) first
    ), slice as (
      select first, last - first as row_count,
        ${sliced(columns, sql.fragment`(first + 1)::int`, sql.fragment`last::int`)}
      from page cross join part offset 0
    ), chunk as materialized (
      -- Materialized, or the hash and the row would each make the JSON.
      select first / ${size.rowsPerChunk}::int as part, row_count, ${folded(columns)} as rows from slice
    ), written as (
      insert into archive_chunks (archive_id, table_name, number, user_id, row_count, sha256, columns, rows)
      select ${held.id}, ${table}, ${number} + part + 1, ${held.tenantId}, row_count,
        aim.chunk_sha256(${names}::jsonb, rows), ${names}::jsonb, rows
      from chunk returning row_count
    )
    select coalesce((select sum(row_count) from written), 0)::bigint as rows,
      (select count(*) from written) as chunks, seen,
      case when at_id is not null
        then json_build_object('createdAt', created_at, 'id', at_id, 'companyId', at_company_id) end as after
    from page`);
  if (!written) throw new Error('an aggregate returned no row');
  if (written.rows > 0) {
    const chunks = sql.fragment`archive_id = ${held.id} and table_name = ${table}
      and number > ${number} and number <= ${number + written.chunks}`;
    await remove(tx, table, chunks, written.rows);
  }
  return {
    rows: written.rows,
    chunks: written.chunks,
    after: written.after,
    isLast: written.seen < limit && written.rows < limit && (ofJobs(table) || written.rows === written.seen),
  };
}

/**
 * Deletes the rows that stand in the chunks now, not those that were meant to, and only if each chunk is whole. Each is
 * read and decompressed once.
 */
async function remove(tx: Db, table: ArchivedTable, chunks: Fragment, expected: number): Promise<void> {
  const [removed] = await tx.query<{ stored: number; intact: boolean; rows: number }>(sql(
    `archive.delete.${table}`,
  )`
    with stored as materialized (
      select row_count, rows ->> 0 as keys, ${isIntact} as intact
      from ${inMemory(chunks)} k
    ), looked as materialized (
      select coalesce(sum(row_count), 0)::bigint as rows, coalesce(bool_and(intact), false) as intact from stored
    ), gone as (
      delete from ${sql.identifier(table)} t using (
        select key::uuid from stored cross join lateral string_to_table(keys, ',') key
        where (select intact and rows = ${expected} from looked)
      ) kept
      where t.${sql.identifier(keyOf(table))} = kept.key returning 1
    )
    select rows as stored, intact, (select count(*) from gone) as rows from looked`);
  if (!removed?.intact || removed.stored !== expected) {
    throw new Error(
      `${table}: ${removed?.stored} of ${expected} rows were stored, ${removed?.intact ? 'intact' : 'damaged'}`,
    );
  }
  if (removed.rows !== expected) throw new Error(`${table}: ${removed.rows} of ${expected} rows deleted`);
}

/** To the next table or, after the last, to the end. @returns whether the archive is complete */
async function turn(tx: Db, held: Held, progress: Progress): Promise<boolean> {
  const next =
    archivedTables[archivedTables.indexOf(progress.table) + 1] ?? (await leftBehind(tx, held, progress));
  if (!next) {
    await forGood(tx);
    await tx.query(sql('archive.end')`
      update archived_campaigns set state = 'archived', archived_at = now(), updated_at = now(),
        totals = ${JSON.stringify(progress.moved)}::jsonb, checksum = aim.archive_checksum(id),
        progress = ${JSON.stringify(progress)}::jsonb
      where id = ${held.id}`);
    return true;
  }
  const [last] = await tx.query<{ number: number }>(sql('archive.last_chunk')`
    select coalesce(max(number), 0) as number from archive_chunks
    where archive_id = ${held.id} and table_name = ${next}`);
  Object.assign(progress, { table: next, after: null, number: last?.number ?? 0 });
  return false;
}

/** Counted row by row when the archive began, from when on none comes: where as many were moved, none is left. */
const countedTables = ['prospect_research', 'company_research', 'contacts', 'companies'] as const;

/** A row that came out of the order of the walk; there should be none, but none may be lost. */
async function leftBehind(
  tx: Db,
  { id: campaignId }: Held,
  { moved, expected }: Progress,
): Promise<ArchivedTable | undefined> {
  const doubtful = countedTables.filter((table) => moved[entityOf[table]] !== expected[entityOf[table]]);
  const counted = doubtful.reduce(
    (cases, table) => sql.fragment`${cases}
      when exists (select from ${sql.identifier(table)} where campaign_id = ${campaignId}) then ${table}`,
    sql.empty,
  );
  const [found] = await tx.query<{ table: ArchivedTable | null }>(sql('archive.left_behind')`
    select case
      when exists (select from research_batches b join research_jobs j on j.batch_id = b.id
        join late_results l on l.job_id = j.id where b.campaign_id = ${campaignId}) then 'late_results'
      when exists (select from research_batches b join research_jobs j on j.batch_id = b.id
        join research_attempts a on a.job_id = j.id where b.campaign_id = ${campaignId}) then 'research_attempts'
      when exists (select from research_batches b join research_jobs j on j.batch_id = b.id
        where b.campaign_id = ${campaignId}) then 'research_jobs'
      when exists (select from research_batches where campaign_id = ${campaignId}) then 'research_batches'
      ${counted}
    end as table`);
  return found?.table ?? undefined;
}

/** Where it begins: whoever never had a late result is spared the walk over all jobs that looks for them. */
async function first(tx: Db, held: Held): Promise<Progress> {
  const [late] = await tx.query<{ any: boolean }>(sql('archive.any_late')`
    select exists (select from late_results where user_id = ${held.tenantId}) as any`);
  return begun(late?.any ? 'late_results' : 'research_attempts', await expect(tx, held));
}

/** From counts that are there or cheap; attempts are at least as many as the jobs that were tried. */
async function expect(tx: Db, { id: campaignId, tenantId }: Held): Promise<Totals> {
  const [counts] = await tx.query<Totals>(sql('archive.expect')`
    select (select count(*) from companies where campaign_id = ${campaignId}) as companies,
      (select count(*) from contacts where campaign_id = ${campaignId}) as contacts,
      (select count(*) from company_research where campaign_id = ${campaignId}) as research,
      (select count(*) from prospect_research where campaign_id = ${campaignId}) as prospects,
      count(*) as batches, coalesce(sum(total), 0)::bigint as jobs, coalesce(sum(total), 0)::bigint as attempts,
      -- They are few; of a tenant with many, an estimate.
      (select count(*) from (select job_id from late_results where user_id = ${tenantId} limit 10000) l
        join research_jobs j on j.id = l.job_id where j.campaign_id = ${campaignId}) as "lateResults"
    from research_batches where campaign_id = ${campaignId}`);
  return counts ?? { ...none };
}

export type { Deps, Ran, RunOptions };
