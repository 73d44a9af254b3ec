import { createHash } from 'node:crypto';
import { z } from 'zod';
import { fields as companyFields } from '../../companies/columns.ts';
import { fields as contactFields } from '../../contacts/columns.ts';
import type { ArchivedEntity } from '../../contract/archives.ts';
import type { Page } from '../../contract/page.ts';
import type { Db } from '../../db/connect.ts';
import { bytesPerStatement, columnsOf, maxPageBytes, sentBytes } from '../../db/keyset.ts';
import { type Fragment, sql } from '../../db/sql.ts';
import { Conflict, InvalidCursor, NotFound } from '../../errors.ts';
import { fields as prospectFields } from '../../research/read/prospects.ts';
import { fields as researchFields } from '../../research/read/research.ts';

/** A table that is read from its chunks: its rows become rows of the live one again, and are written as those are. */
export interface ArchivedTable {
  table: string;
  /** The row type that a chunk's JSON is read into. */
  type: Fragment;
  fields: Record<string, Fragment>;
}
export const archivedTables: Record<ArchivedEntity, ArchivedTable> = {
  companies: { table: 'companies', type: sql.fragment`companies`, fields: companyFields },
  contacts: { table: 'contacts', type: sql.fragment`contacts`, fields: contactFields },
  research: { table: 'company_research', type: sql.fragment`company_research`, fields: researchFields },
  prospects: { table: 'prospect_research', type: sql.fragment`prospect_research`, fields: prospectFields },
};

/** A row of a chunk: the chunk's number, and how many of its rows stand before it. */
export interface Place {
  number: number;
  offset: number;
}
const Cursor = z.tuple([
  z.literal(1),
  z.string(),
  z
    .int()
    .min(1)
    .max(2 ** 31 - 1),
  z.int().min(0).max(1000),
]);

const scopeOf = (archiveId: string, table: string) =>
  createHash('sha256').update(`${archiveId} ${table}`).digest('base64url').slice(0, 12);

/**
 * One page of an archive's rows of one table, in the order in which they were archived: one chunk of it at a time, or
 * of large rows a part. They end a page early.
 * @param sizeOf bytes that a row takes in the answer; as one of JSON unless given
 * @throws InvalidCursor for one of another archive or table; Conflict `archive_unfinished`, NotFound
 */
export async function readArchivedRows<Row>(
  db: Db,
  archiveId: string,
  { table, type, fields }: ArchivedTable,
  {
    limit,
    cursor,
    sizeOf = sentBytes,
  }: { limit: number; cursor?: string | undefined; sizeOf?: (row: Row) => number },
): Promise<Page<Row>> {
  const scope = scopeOf(archiveId, table);
  let at = cursor === undefined ? { number: 0, offset: 0 } : decode(scope, cursor);
  const data: Row[] = [];
  let bytes = 0;
  const end = (place: Place): Page<Row> => ({
    data,
    next: Buffer.from(JSON.stringify([1, scope, place.number, place.offset])).toString('base64url'),
  });
  for (;;) {
    const chunk = await chunkFrom(db, archiveId, table, at.number);
    if (!chunk) return { data, next: null };
    const from = chunk.number === at.number ? at.offset : 0;
    const wanted = limit - data.length;
    if (from < chunk.rows) {
      const rows = await db.query<Row>(sql('archive.rows')`
        select ${columnsOf({ columns: fields })}
        from (
          select value, place, sum(pg_column_size(value)) over (order by place rows unbounded preceding)
            - pg_column_size(value) as bytes_before
          from aim.archived_rows(${archiveId}, ${table}, ${chunk.number}) with ordinality chunk (value, place)
          where place > ${from} order by place limit ${wanted}
        ) chunk
        cross join lateral jsonb_populate_record(null::${type}, chunk.value) ${type}
        where chunk.bytes_before < ${bytesPerStatement} order by chunk.place`);
      for (const [index, row] of rows.entries()) {
        const size = sizeOf(row);
        if (bytes + size > maxPageBytes && data.length > 0) {
          return end({ number: chunk.number, offset: from + index });
        }
        bytes += size;
        data.push(row);
      }
      const offset = from + rows.length;
      if (data.length === limit) return end({ number: chunk.number, offset });
      if (rows.length > 0 && offset < chunk.rows) {
        at = { number: chunk.number, offset };
        continue;
      }
    }
    at = { number: chunk.number + 1, offset: 0 };
  }
}

/**
 * What state the archive is in is read with its chunk: a restore takes them away one after the other.
 * @throws Conflict `archive_unfinished` unless all of it is there, NotFound
 */
async function chunkFrom(
  db: Db,
  archiveId: string,
  table: string,
  number: number,
): Promise<{ number: number; rows: number } | undefined> {
  const [found] = await db.query<{ state: string; number: number | null; rows: number }>(sql('archive.chunk')`
    select a.state, chunk.number, chunk.rows
    from archived_campaigns a
    left join lateral (
      select c.number, c.row_count as rows from archive_chunks c
      where c.archive_id = a.id and c.table_name = ${table} and c.number >= ${number} order by c.number limit 1
    ) chunk on true
    where a.id = ${archiveId} and a.purging_at is null`);
  if (!found) throw new NotFound('archive', archiveId);
  if (found.state !== 'archived') {
    throw new Conflict(
      'archive_unfinished',
      `archive ${archiveId} is ${found.state}, so only a part of it could be read; wait until it is done`,
    );
  }
  return found.number === null ? undefined : { number: found.number, rows: found.rows };
}

function decode(scope: string, cursor: string): Place {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw new InvalidCursor();
  }
  const parsed = Cursor.safeParse(json);
  if (!parsed.success || parsed.data[1] !== scope) throw new InvalidCursor();
  return { number: parsed.data[2], offset: parsed.data[3] };
}
