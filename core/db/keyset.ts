import { cursorScope, decodeCursor, encodeCursor, type Position } from '../contract/cursor.ts';
import type { Page, PageRequest } from '../contract/page.ts';
import { type Fragment, sql } from './sql.ts';

/** A Lambda answers 6 MB at most; what does not fit is on the next page. */
const maxPageBytes = 5_000_000;

/** A time column as the API writes it: UTC, ISO-8601, with its µs. */
export function utc(column: Fragment): Fragment {
  return sql.fragment`to_char(${column} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}

/** The SQL of one page; the columns are unqualified `created_at` and `id`. */
export interface Keyset {
  /** `and (created_at, id) < …`, or nothing on the first page. */
  after: Fragment;
  /** `order by … limit …`: one row more than the page, which tells whether there is a next. */
  orderAndLimit: Fragment;
  /** For a list with another key: where the page before ended. */
  position: Position | undefined;
}

function keyset(position: Position | undefined, { order, limit }: PageRequest): Keyset {
  const after =
    position === undefined
      ? sql.empty
      : order === 'asc'
        ? sql.fragment`and (created_at, id) > (${position.createdAt}::timestamptz, ${position.id}::uuid)`
        : sql.fragment`and (created_at, id) < (${position.createdAt}::timestamptz, ${position.id}::uuid)`;
  const orderAndLimit =
    order === 'asc'
      ? sql.fragment`order by created_at, id limit ${limit + 1}`
      : sql.fragment`order by created_at desc, id desc limit ${limit + 1}`;
  return { after, orderAndLimit, position };
}

/**
 * Reads one page of a list, in a unique order, from where the cursor says. A page of large rows ends early, with a
 * `next`, and always has at least one row.
 * @param list the list's name; with `filter` and the order it is what the cursor is tied to
 * @param read runs the statement for that part of the list
 * @throws InvalidCursor for a cursor of another list, filter or order
 */
export async function readPage<Row extends Position>(
  list: string,
  filter: Record<string, unknown>,
  request: PageRequest,
  read: (keyset: Keyset) => Promise<Row[]>,
  keyOf: (row: Row) => Position = (row) => row,
): Promise<Page<Row>> {
  const scope = cursorScope(list, filter, request.order);
  const position = request.cursor === undefined ? undefined : decodeCursor(scope, request.cursor);
  const rows = await read(keyset(position, request));
  const fitting = countFitting(rows);
  const data = rows.slice(0, Math.min(request.limit, fitting));
  const last = data.at(-1);
  return { data, next: last && data.length < rows.length ? encodeCursor(scope, keyOf(last)) : null };
}

/** How many of these rows one answer can hold; at least one. */
export function countFitting(rows: unknown[]): number {
  let bytes = 0;
  for (const [index, row] of rows.entries()) {
    bytes += Buffer.byteLength(JSON.stringify(row)) + 1;
    if (bytes > maxPageBytes) return Math.max(1, index);
  }
  return rows.length;
}
