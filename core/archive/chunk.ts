import { type Fragment, sql } from '../db/sql.ts';

/** The tables of which a campaign's rows move, children before parents, so that nothing cascades. */
export const archivedTables = [
  'late_results',
  'research_attempts',
  'research_jobs',
  'research_batches',
  'prospect_research',
  'company_research',
  'contacts',
  'companies',
] as const;
export type ArchivedTable = (typeof archivedTables)[number];

/** What a row is known by; each chunk keeps it as the first value. */
export const keyOf = (table: ArchivedTable): string => (table === 'late_results' ? 'attempt_id' : 'id');

/** These know their campaign by their job alone. */
export const ofJobs = (table: ArchivedTable): boolean =>
  table === 'research_attempts' || table === 'late_results';

export const rowsPerChunk = 1_000;

/** As a tenant calls them, in `totals`. */
export const entityOf = {
  late_results: 'lateResults',
  research_attempts: 'attempts',
  research_jobs: 'jobs',
  research_batches: 'batches',
  prospect_research: 'prospects',
  company_research: 'research',
  contacts: 'contacts',
  companies: 'companies',
} as const satisfies Record<ArchivedTable, string>;

/**
 * Chunks whose `rows` are decompressed once, whatever is then taken of them: what is joined to nothing comes out as it
 * is, but as a value in memory.
 */
export function inMemory(chunks: Fragment): Fragment {
  return sql.fragment`(
    select number, row_count, sha256, columns, rows || '[]' as rows from archive_chunks where ${chunks} offset 0
  )`;
}

/** Of a chunk: whether it is what was written. */
export const isIntact = sql.fragment`(
  sha256 = aim.chunk_sha256(columns, rows) and row_count = aim.chunk_size(rows)
)`;

/** The rows of a chunk as objects, in their order: `from ${archivedRows(…)} as row`. The format: migrations/0050. */
export function archivedRows(archiveId: string, table: ArchivedTable, number: number): Fragment {
  return sql.fragment`aim.archived_rows(${archiveId}, ${table}, ${number})`;
}
