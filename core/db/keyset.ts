import { position } from '../changes/position.ts';
import { cursorScope, decodeCursor, encodeCursor } from '../contract/cursor.ts';
import type { Page, PageRequest } from '../contract/page.ts';
import type { Db } from './connect.ts';
import { created, type Sort } from './sorts.ts';
import { type Fragment, sql, walking } from './sql.ts';

/** A Lambda answers 6 MB at most; what does not fit is on the next page. The rest is for what is added to rows later. */
export const maxPageBytes = 5_000_000;
/** What one statement of a page fetches at most: a thousand rows of 64 KiB are what memory has room for. */
const rowsPerStatement = 1_000;
/** Of columns without a bound of their own a statement fetches what a page has room for. */
export const bytesPerStatement = maxPageBytes;
/** Rows that a filter without an index of its own may look at for one page. */
const maxExamined = 20_000;

/** How a list is read: from which table, as which columns, in which orders. */
export interface ListShape {
  name: string;
  table: Fragment;
  /** The SQL of each field, in the order of the answer. */
  columns: Record<string, Fragment>;
  /** Those that may hold more than 64 KiB. */
  large?: string[];
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
  /** With large columns: what they take of this row and all before it. */
  bytes?: number;
}

/** What a row takes in the answer: that is a string in the JSON that a Lambda returns, where each quote is two bytes more. */
export function sentBytes(row: unknown): number {
  return Buffer.byteLength(JSON.stringify(JSON.stringify(row)));
}

/**
 * Reads one page of a list by keyset: in a unique order, from where the cursor says, whatever was inserted or deleted
 * in between. A page of large rows ends early, and so does one whose filter looked at 20,000 rows: it has a `next`,
 * and may be empty. Rows are fetched a thousand at a time, or fewer large ones; each fetch goes on behind the last, as
 * another page would.
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
    const range: Range = {
      sort,
      order: request.order,
      where: sql.fragment`${scope} ${after}`,
      fields: request.fields,
      limit: wanted,
    };
    const rows = await db.query<Row & Slice>(
      checks.length === 0 ? ranged(shape, range) : checked(shape, range, checks, maxExamined - examined),
    );
    let sliceExamined = 0;
    let fetchedBytes = 0;
    for (const {
      sortKey,
      examined: number = 0,
      wanted: isWanted = true,
      bytes: upToHere = 0,
      ...row
    } of rows) {
      fetchedBytes = upToHere;
      if (isWanted) {
        const size = sentBytes(row);
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
    if (rows.length < wanted && fetchedBytes < bytesPerStatement) return page(true);
  }
}

/** How many of these rows fit in one answer; one always does. */
export function countFitting(rows: unknown[]): number {
  let bytes = 0;
  for (const [index, row] of rows.entries()) {
    bytes += sentBytes(row);
    if (bytes > maxPageBytes) return Math.max(1, index);
  }
  return rows.length;
}

const namesOf = ({ columns }: Pick<ListShape, 'columns'>, fields?: string[]): string[] =>
  Object.keys(columns).filter((field) => fields === undefined || fields.includes(field));

/** @param fields all when absent */
export function columnsOf({ columns }: Pick<ListShape, 'columns'>, fields?: string[]): Fragment {
  const parts = namesOf({ columns }, fields).map(
    (field) => sql.fragment`${columns[field] ?? sql.empty} as ${sql.identifier(field)}`,
  );
  return parts.reduce((all, part) => sql.fragment`${all}, ${part}`);
}

/**
 * What the large ones among these columns take in memory, as far as the server knows without opening them: where a value
 * is compressed eight times what is stored, which is more than most need.
 * @returns undefined when there are none
 */
function sizesOf(
  { columns, large = [] }: Pick<ListShape, 'columns' | 'large'>,
  fields?: string[],
): Fragment | undefined {
  const parts = namesOf({ columns }, fields)
    .filter((field) => large.includes(field))
    .map((field) => columns[field] ?? sql.empty)
    .map(
      (column) =>
        sql.fragment`coalesce(pg_column_size(${column}) * case when pg_column_compression(${column}) is null then 1 else 8 end, 0)`,
    );
  return parts.length === 0 ? undefined : parts.reduce((all, part) => sql.fragment`${all} + ${part}`);
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

interface Range {
  sort: Sort;
  order: 'asc' | 'desc';
  where: Fragment;
  fields: string[] | undefined;
  limit: number;
}

function ranged(shape: ListShape, { sort, order, where, fields, limit }: Range) {
  const { name, table } = shape;
  const inOrder = by(sort.key, order, sort.isUnique);
  const rows = fitting(
    shape,
    { fields, more: ['sortKey'], inOrder },
    (sizes) => sql.fragment`
    select ${columnsOf(shape, fields)}, ${sort.text(sort.key)} as "sortKey" ${sizes} from ${table} where ${where}
    order by ${inOrder} limit ${limit}`,
  );
  return walking(sql(`page.${name}`)`${rows}`);
}

/** The last row that may be looked at comes along, wanted or not: the next page begins behind it. */
function checked(
  shape: ListShape,
  { sort, order, where, fields, limit }: Range,
  checks: Fragment[],
  budget: number,
) {
  const { name, table } = shape;
  const all = checks.reduce((conditions, check) => sql.fragment`${conditions} and ${check}`);
  const inOrder = by(sort.key, order, sort.isUnique);
  const inSameOrder = by(sql.fragment`sort_key`, order, sort.isUnique);
  const more = ['sortKey', 'wanted', 'examined'];
  const rows = fitting(
    shape,
    { fields, more, inOrder: inSameOrder },
    (sizes) => sql.fragment`
    select ${columnsOf(shape, fields)}, ${sort.text(sql.fragment`sort_key`)} as "sortKey", wanted, examined ${sizes} from (
      select ${table}.*, ${sort.key} as sort_key, coalesce(${all}, false) as wanted,
        row_number() over (order by ${inOrder}) as examined
      from ${table} where ${where}
      order by ${inOrder} limit ${budget}
    ) ${table}
    where wanted or examined = ${budget}
    order by ${inSameOrder} limit ${limit}`,
  );
  return walking(sql(`page.checked.${name}`)`${rows}`);
}

/**
 * Leaves out the rows behind the one that fills a statement, so that one is always left; `bytes` of the last tells. What is
 * left out was not opened: on their way through a plan large values are pointers.
 * @param rows the select, with these columns of sizes
 */
export function fitting(
  shape: Pick<ListShape, 'columns' | 'large'>,
  { fields, more = [], inOrder }: { fields: string[] | undefined; more?: string[]; inOrder: Fragment },
  rows: (sizes: Fragment) => Fragment,
): Fragment {
  const sizes = sizesOf(shape, fields);
  if (sizes === undefined) return rows(sql.empty);
  const shown = [...namesOf(shape, fields), ...more]
    .map(sql.identifier)
    .reduce((all, each) => sql.fragment`${all}, ${each}`);
  return sql.fragment`
    select ${shown}, bytes from (${rows(sql.fragment`,
      sum(${sizes}) over (order by ${inOrder} rows unbounded preceding) as bytes, ${sizes} as own_bytes`)}
    ) page
    where bytes - own_bytes < ${bytesPerStatement}`;
}
