import { position } from '../changes/position.ts';
import { cursorScope, decodeCursor, encodeCursor } from '../contract/cursor.ts';
import type { Page, PageRequest } from '../contract/page.ts';
import type { Db } from './connect.ts';
import { created, type Sort } from './sorts.ts';
import { type Fragment, sql, walking } from './sql.ts';

/** A Lambda answers 6 MB at most; what does not fit is on the next page. */
export const maxPageBytes = 5_000_000;
/** What one statement of a page fetches at most: a thousand rows of 64 KiB are what memory has room for. */
const rowsPerStatement = 1_000;
/** Rows that a filter without an index of its own may look at for one page. */
const maxExamined = 20_000;

/** How a list is read: from which table, as which columns, in which orders. */
export interface ListShape {
  name: string;
  table: Fragment;
  /** The SQL of each field, in the order of the answer. */
  columns: Record<string, Fragment>;
  /** The first is the one that is taken when none is asked for. */
  sorts: Record<string, Sort>;
}

/** Which rows are asked for. */
export interface Selection {
  /** What the cursor is tied to, with the list, its sort and its order. */
  filter: Record<string, unknown>;
  /** The range of an index. */
  scope: Fragment;
  /** Conditions without an index of their own, asked of the rows of the range one by one. */
  checks?: Fragment[];
}

interface Slice {
  id: string;
  sortKey: string;
  /** With checks: how many rows of the range had been looked at, and whether this one is asked for. */
  examined?: number;
  wanted?: boolean;
}

/**
 * Reads one page of a list by keyset: in a unique order, from where the cursor says, whatever was inserted or deleted
 * in between. A page of large rows ends early, and so does one whose filter looked at 20,000 rows: it has a `next`,
 * and may be empty. Rows are fetched a thousand at a time; each fetch goes on behind the last, as another page would.
 * @throws InvalidCursor for a cursor of another list, filter, sort or order
 */
export async function readPage<Row extends { id: string }>(
  db: Db,
  shape: ListShape,
  request: PageRequest,
  { filter, scope, checks = [] }: Selection,
): Promise<Page<Row>> {
  const [first = ''] = Object.keys(shape.sorts);
  const sortName = request.sort ?? first;
  const sort = shape.sorts[sortName] ?? created;
  const tied = cursorScope(shape.name, filter, `${sortName} ${request.order}`);
  let at = request.cursor === undefined ? undefined : decodeCursor(tied, request.cursor, sort.isKey);
  // Before the first row is read: whatever commits later than that is in the feed behind it.
  const changesAfter = request.follow === 'true' && at === undefined ? await position({ db }) : undefined;
  const columns = columnsOf(shape, request.fields);

  const data: Row[] = [];
  let bytes = 0;
  let examined = 0;
  const page = (isEnd: boolean): Page<Row> => ({
    data,
    next: isEnd || at === undefined ? null : encodeCursor(tied, at),
    ...(changesAfter === undefined ? {} : { changesAfter }),
  });
  for (;;) {
    // One more than there is room for tells whether there is a next page.
    const wanted = Math.min(rowsPerStatement, request.limit - data.length) + 1;
    const after = at === undefined ? sql.empty : behind(sort, request.order, sort.bind(at.key), at.id);
    const rows = await db.query<Row & Slice>(
      checks.length === 0
        ? ranged(shape, columns, sort, request.order, sql.fragment`${scope} ${after}`, wanted)
        : checked(
            shape,
            columns,
            sort,
            request.order,
            sql.fragment`${scope} ${after}`,
            checks,
            maxExamined - examined,
            wanted,
          ),
    );
    let sliceExamined = 0;
    for (const { sortKey, examined: number = 0, wanted: isWanted = true, ...row } of rows) {
      if (isWanted) {
        const size = Buffer.byteLength(JSON.stringify(row)) + 1;
        if (data.length === request.limit || (bytes + size > maxPageBytes && data.length > 0))
          return page(false);
        data.push(row as unknown as Row);
        bytes += size;
      }
      at = { key: sortKey, id: row.id };
      sliceExamined = number;
    }
    examined += sliceExamined;
    if (checks.length > 0 && examined >= maxExamined) return page(false);
    if (rows.length < wanted) return page(true);
  }
}

/** How many of these rows fit in one answer; one always does. */
export function countFitting(rows: unknown[]): number {
  let bytes = 0;
  for (const [index, row] of rows.entries()) {
    bytes += Buffer.byteLength(JSON.stringify(row)) + 1;
    if (bytes > maxPageBytes) return Math.max(1, index);
  }
  return rows.length;
}

/** @param fields all when absent */
export function columnsOf({ columns }: Pick<ListShape, 'columns'>, fields?: string[]): Fragment {
  const parts = Object.entries(columns)
    .filter(([field]) => fields === undefined || fields.includes(field))
    .map(([field, column]) => sql.fragment`${column} as ${sql.identifier(field)}`);
  return parts.reduce((all, part) => sql.fragment`${all}, ${part}`);
}

function behind(sort: Sort, order: 'asc' | 'desc', key: Fragment, id: string): Fragment {
  if (sort.isUnique)
    return order === 'asc' ? sql.fragment`and ${sort.key} > ${key}` : sql.fragment`and ${sort.key} < ${key}`;
  return order === 'asc'
    ? sql.fragment`and (${sort.key}, id) > (${key}, ${id}::uuid)`
    : sql.fragment`and (${sort.key}, id) < (${key}, ${id}::uuid)`;
}

function by(key: Fragment, order: 'asc' | 'desc', isUnique = false): Fragment {
  if (isUnique) return order === 'asc' ? key : sql.fragment`${key} desc`;
  return order === 'asc' ? sql.fragment`${key}, id` : sql.fragment`${key} desc, id desc`;
}

function ranged(
  { name, table }: ListShape,
  columns: Fragment,
  sort: Sort,
  order: 'asc' | 'desc',
  where: Fragment,
  limit: number,
) {
  return walking(sql(`page.${name}`)`
    select ${columns}, ${sort.text(sort.key)} as "sortKey" from ${table} where ${where}
    order by ${by(sort.key, order, sort.isUnique)} limit ${limit}`);
}

/** The last row that may be looked at comes along, wanted or not: the next page begins behind it. */
function checked(
  { name, table }: ListShape,
  columns: Fragment,
  sort: Sort,
  order: 'asc' | 'desc',
  where: Fragment,
  checks: Fragment[],
  budget: number,
  limit: number,
) {
  const all = checks.reduce((conditions, check) => sql.fragment`${conditions} and ${check}`);
  const inOrder = by(sort.key, order, sort.isUnique);
  return walking(sql(`page.checked.${name}`)`
    select ${columns}, ${sort.text(sql.fragment`sort_key`)} as "sortKey", wanted, examined from (
      select ${table}.*, ${sort.key} as sort_key, coalesce(${all}, false) as wanted,
        row_number() over (order by ${inOrder}) as examined
      from ${table} where ${where}
      order by ${inOrder} limit ${budget}
    ) ${table}
    where wanted or examined = ${budget}
    order by ${by(sql.fragment`sort_key`, order, sort.isUnique)} limit ${limit}`);
}
