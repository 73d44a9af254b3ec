import type { Db } from '../../db/connect.ts';
import { type Fragment, sql } from '../../db/sql.ts';
import { type ArchivedTable, entityOf } from '../chunk.ts';

export interface ChunkKey {
  archiveId: string;
  table: string;
  number: number;
}

/**
 * Writes a chunk anew, under the lock of its archive, and renews all that vouches for it: its hash and count, and the
 * archive's totals and checksum.
 * @param edit which rows (`row.value`, as objects) to leave out, and what to put in the place of others (`value`)
 * @returns the rows left out or changed
 */
export async function rewriteChunk(
  tx: Db,
  { archiveId, table, number }: ChunkKey,
  { drop, change, changed }: { drop: Fragment; change: Fragment; changed: Fragment },
): Promise<number> {
  const [edited] = await tx.query<{
    touched: number;
    dropped: number;
    kept: number;
    rows: string | null;
  }>(sql('erase.rewrite')`
    select count(*) filter (where gone or named)::int as touched, count(*) filter (where gone)::int as dropped,
      count(*) filter (where not gone)::int as kept,
      aim.chunk_of(to_jsonb(array_agg(case when named then ${changed} else value end order by place)
        filter (where not gone)))::text as rows
    from (
      select raw.value, raw.place, k.columns, ${drop} as gone, ${change} as named
      from archive_chunks k
      cross join lateral aim.chunk_rows(k.columns, k.rows, k.row_count) with ordinality as raw (value, place)
      join aim.archived_rows(${archiveId}, ${table}, ${number}) with ordinality as row (value, place)
        on row.place = raw.place
      where k.archive_id = ${archiveId} and k.table_name = ${table} and k.number = ${number}
    ) raw`);
  if (!edited || edited.touched === 0) return 0;
  if (edited.kept === 0) {
    await tx.query(sql('erase.chunk_gone')`
      delete from archive_chunks where archive_id = ${archiveId} and table_name = ${table} and number = ${number}`);
  } else {
    await tx.query(sql('erase.chunk')`
      update archive_chunks set rows = ${edited.rows}::jsonb, row_count = ${edited.kept},
        sha256 = aim.chunk_sha256(columns, ${edited.rows}::jsonb)
      where archive_id = ${archiveId} and table_name = ${table} and number = ${number}`);
  }
  const entity = entityOf[table as ArchivedTable];
  await tx.query(sql('erase.checksum')`
    update archived_campaigns set checksum = aim.archive_checksum(id),
      totals = case when totals ? ${entity} and ${edited.dropped}::int > 0
        then jsonb_set(totals, array[${entity}::text], to_jsonb((totals ->> ${entity})::bigint - ${edited.dropped}::int))
        else totals end
    where id = ${archiveId}`);
  return edited.touched;
}
