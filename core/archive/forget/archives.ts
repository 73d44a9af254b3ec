import type { Db } from '../../db/connect.ts';
import { type Fragment, sql } from '../../db/sql.ts';
import { isKey, isRowOf, keyWithout } from './keys.ts';
import { lengths, type Walk, walkOf } from './live.ts';
import { jsonWithout, mentions, othersIn, type Person } from './person.ts';
import { type ChunkKey, rewriteChunk } from './rewrite.ts';

/** Chunks that one transaction looks into; those that name the person are few. */
const chunksPerTransaction = 20;

const chunks: Walk = async (tx, person, after) => {
  const looked = await tx.query<ChunkKey & { hit: boolean }>(sql('erase.chunks')`
    with chunk as materialized (
      select archive_id, table_name, number from archive_chunks
      where user_id = ${person.tenantId} ${
        after
          ? sql.fragment`and (archive_id, table_name, number)
              > (${after.archiveId}::uuid, ${after.table}::text, ${after.number}::int)`
          : sql.empty
      }
      order by archive_id, table_name, number limit ${chunksPerTransaction}
    )
    select archive_id as "archiveId", table_name as "table", number, exists (
      select from aim.archived_rows(archive_id, table_name, number) as row (value)
      where ${mentions(person, sql.fragment`row.value::text`)}
    ) as hit
    from chunk order by archive_id, table_name, number`);
  let changed = 0;
  for (const chunk of looked) if (chunk.hit) changed += await forgetInChunk(tx, person, chunk);
  const last = looked.length === chunksPerTransaction ? looked.at(-1) : undefined;
  return {
    changed,
    next: last && { archiveId: last.archiveId, table: last.table, number: last.number },
  };
};

async function forgetInChunk(tx: Db, person: Person, chunk: ChunkKey): Promise<number> {
  // One that is being made or restored is left: what goes on there makes another pass, once it has ended.
  const [archive] = await tx.query<{ state: string }>(sql('erase.archive')`
    select state from archived_campaigns where id = ${chunk.archiveId} and user_id = ${person.tenantId} for update`);
  if (archive?.state !== 'archived') return 0;
  const is = isRowOf(person, chunk.table, (name) => sql.fragment`(row.value ->> ${name}::text)`);
  return rewriteChunk(tx, chunk, {
    drop: sql.fragment`coalesce(${is}, false)`,
    change: mentions(person, sql.fragment`row.value::text`),
    changed: asTheTableTakesIt(
      person,
      chunk.table,
      jsonWithout(person, chunk.table === 'late_results' ? lateResult(person) : sql.fragment`raw.value`),
    ),
  });
}

/** Or it could not be restored: texts no longer than they may be, and keys that are each row's own. */
function asTheTableTakesIt(person: Person, table: string, changed: Fragment): Fragment {
  const own: object | undefined = (lengths as Record<string, object>)[table];
  if (!own) return changed;
  const most = sql.fragment`(${JSON.stringify(own)}::jsonb ->> (c.value ->> 0))::int`;
  const keys = Object.keys(own).filter((column) => isKey(table, column));
  const key = keyWithout(person, sql.fragment`(o.value #>> '{}')`, sql.fragment`raw.value ->> 0`);
  return sql.fragment`(
    select to_jsonb(array_agg(case
        when c.value ->> 0 = any (${keys}::text[]) and jsonb_typeof(o.value) = 'string' then to_jsonb(${key})
        when jsonb_typeof(v.value) = 'string' and ${most} is not null then to_jsonb(left(v.value #>> '{}', ${most}))
        else v.value end order by place))
    from jsonb_array_elements(raw.columns) with ordinality c (value, place)
    join jsonb_array_elements(${changed}) with ordinality v (value, place) using (place)
    join jsonb_array_elements(raw.value) with ordinality o (value, place) using (place)
  )`;
}

/** A late result keeps the people it found in its own JSON: this one goes as a whole. */
function lateResult(person: Person): Fragment {
  return sql.fragment`(
    select case when at.path is null then raw.value
      else jsonb_set(raw.value, at.path, ${othersIn(person, sql.fragment`(raw.value #> at.path)`)}) end
    from (
      select max(array[(c.place - 1)::text] || case when c.value ->> 2 = 'wrapped' then array['0'] else '{}' end) as path
      from jsonb_array_elements(raw.columns) with ordinality c (value, place)
      where c.value ->> 0 = 'prospects'
    ) at
  )`;
}

/** The archives of a tenant: each as the campaign it was, then its chunks. */
export const archiveWalks: Record<string, Walk> = {
  archived_campaigns: walkOf({
    table: 'archived_campaigns',
    texts: { name: 200 },
    jsons: ['campaign'],
    hasVersion: false,
    inCampaign: false,
  }),
  archive_chunks: chunks,
};
