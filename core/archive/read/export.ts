import type { ArchiveExportQuery } from '../../contract/archives.ts';
import type { Db } from '../../db/connect.ts';
import { archivedTables, readArchivedRows } from './rows.ts';

/**
 * One part of an archive's rows of one table as a file; parts put one behind the other are the whole file, for only the
 * first part of a CSV has the line of names, and before it the mark without which Excel takes UTF-8 for Windows-1252.
 * @throws InvalidCursor
 */
export async function exportArchive(
  { db }: { db: Db },
  archiveId: string,
  { table, format, limit, cursor }: ArchiveExportQuery,
): Promise<{ body: string; next: string | null }> {
  const archived = archivedTables[table];
  const names = Object.keys(archived.fields);
  const write: (row: Record<string, unknown>) => string =
    format === 'csv' ? (row) => csvLine(names.map((name) => row[name])) : (row) => `${JSON.stringify(row)}\n`;
  const { data, next } = await readArchivedRows<Record<string, unknown>>(db, archiveId, archived, {
    limit,
    cursor,
    // A Lambda answers 6 MB of JSON, of which the file is one string: every quote of it is two bytes.
    sizeOf: (row) => Buffer.byteLength(JSON.stringify(write(row))),
  });
  const start = format === 'csv' && cursor === undefined ? `\ufeff${csvLine(names)}` : '';
  return { body: start + data.map(write).join(''), next };
}

const csvLine = (cells: unknown[]): string => `${cells.map(csvCell).join(',')}\r\n`;

/** What a spreadsheet would run as a formula. A number with its sign, and so a telephone number, it would not. */
const formula = /^[=@\t\r]|^[+-](?![\d\s().-]*$)/;

/** RFC 4180. Objects are JSON; what a spreadsheet would take for a formula gets an apostrophe in front. */
export function csvCell(value: unknown): string {
  if (value === null || value === undefined) return '';
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  const safe = formula.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
