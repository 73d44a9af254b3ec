import type { Db } from '../../db/connect.ts';
import { type Fragment, sql } from '../../db/sql.ts';

export interface ChunkKey {
  archiveId: string;
  table: string;
  number: number;
}

/**
 * Writes a chunk anew, under the lock of its archive, and renews all that vouches for it: its hash and count, and the
 * archive's totals and checksum.
 * @param edit what to do with `row.value`, a row of the chunk: leave it out, or put something in its place
 * @returns the rows left out or changed
 */
export async function rewriteChunk(
  tx: Db,
  { archiveId, table, number }: ChunkKey,
  { drop, change, changed }: { drop: Fragment; change: Fragment; changed: Fragment },
): Promise<number> {
  const [edited] = await tx.query<{ touched: number; kept: number; rows: string | null }>(sql(
    'erase.rewrite',
  )`
    select count(*) filter (where gone or named)::int as touched, count(*) filter (where not gone)::int as kept,
      (jsonb_agg(case when named then ${changed} else value end order by place) filter (where not gone))::text as rows
    from (
      select row.value, place, ${drop} as gone, ${change} as named
      from aim.archived_rows(${archiveId}, ${table}, ${number}) with ordinality as row (value, place)
    ) row`);
  if (!edited || edited.touched === 0) return 0;
  if (edited.kept === 0) {
    await tx.query(sql('erase.chunk_gone')`
      delete from archive_chunks where archive_id = ${archiveId} and table_name = ${table} and number = ${number}`);
  } else {
    await tx.query(sql('erase.chunk')`
      update archive_chunks set rows = ${edited.rows}::jsonb, row_count = ${edited.kept},
        sha256 = sha256(convert_to(${edited.rows}::jsonb::text, 'UTF8'))
      where archive_id = ${archiveId} and table_name = ${table} and number = ${number}`);
  }
  return edited.touched;
}
