import { normaliseDomain, unstorable } from '../companies/domain.ts';
import type { Columns } from './columns.ts';

const longestName = 500;

export interface CompanyLine {
  status: 'company';
  /** The line of the file on which the row begins, from 1. */
  row: number;
  /** null when the file gives none; the domain is the name then. */
  name: string | null;
  domain: string | null;
  /** The other columns that hold something, by their header. */
  attributes: Record<string, string>;
}
export interface RejectedLine {
  status: 'rejected';
  row: number;
  column: string | null;
  reason: string;
}
/** Reads one row as a company; null when it is blank. */
export function readLine(
  record: readonly string[],
  columns: Columns,
  row: number,
): CompanyLine | RejectedLine | null {
  const cells = record.map((cell) => cell.trim());
  if (cells.every((cell) => cell === '')) return null;
  const refuse = (column: number | null, reason: string): RejectedLine => {
    return {
      status: 'rejected',
      row,
      column: column === null ? null : (columns.headers[column] ?? null),
      reason,
    };
  };
  const width = columns.headers.length;
  if (cells.slice(width).some((cell) => cell !== '')) {
    return refuse(
      null,
      `has ${cells.length} cells where the header has ${width}; put quotes around cells with delimiters`,
    );
  }
  const broken = cells.findIndex((cell) => unstorable(cell) !== null);
  if (broken >= 0) return refuse(broken, unstorable(cells[broken] ?? '') ?? 'is not text');
  const name = (columns.name === null ? '' : (cells[columns.name] ?? '')).replace(/\s+/g, ' ');
  if (name.length > longestName)
    return refuse(columns.name, `the name is longer than ${longestName} characters`);
  const domainColumn = columns.domains.find((index) => cells[index]) ?? columns.domains[0] ?? null;
  const domain = normaliseDomain(domainColumn === null ? '' : (cells[domainColumn] ?? ''));
  if (!domain.ok) return refuse(domainColumn, domain.reason);
  if (name === '' && domain.domain === null) {
    return refuse(columns.name ?? domainColumn, 'gives neither a name nor a domain');
  }
  const attributes = columns.headers
    .map((header, index) => [header, cells[index] ?? ''] as const)
    .filter(([, cell], index) => cell !== '' && index !== columns.name && index !== domainColumn);
  return {
    status: 'company',
    row,
    name: name || null,
    domain: domain.domain,
    attributes: Object.fromEntries(attributes),
  };
}
