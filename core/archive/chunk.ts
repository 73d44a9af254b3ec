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

/** The rows of a chunk as objects, in their order: `from ${archivedRows(…)} as row`. The format: migrations/0030. */
export function archivedRows(archiveId: string, table: ArchivedTable, number: number): Fragment {
  return sql.fragment`aim.archived_rows(${archiveId}, ${table}, ${number})`;
}
