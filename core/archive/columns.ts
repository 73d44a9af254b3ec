import type { Db } from '../db/connect.ts';
import { Fragment, sql } from '../db/sql.ts';
import { type ArchivedTable, keyOf } from './chunk.ts';

/** A column of a table as it is now, or as it was when a chunk was made. */
export interface Column {
  name: string;
  type: string;
}

/** JSON has these; any other type is kept as its text. */
const plainTypes =
  /^(uuid|text|boolean|smallint|integer|bigint|numeric.*|real|double precision|character.*|bytea|date|timestamp.*)$/;
export const isJson = ({ type }: Column) => type === 'json' || type === 'jsonb';

/**
 * Not kept: what is the same for all rows of an archive, what is made anew, and the URL that resumes an execution for
 * whoever knows it. No batch in an archive has a resume that is still due.
 */
const left = ['user_id', 'campaign_id', 'search_vector', 'resume_url'];

/** What can be written, the key first. */
export async function columnsOf(db: Db, table: ArchivedTable): Promise<Column[]> {
  const columns = await db.query<Column>(sql('archive.columns')`
    select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute
    where attrelid = ${`public.${table}`}::regclass and attnum > 0 and not attisdropped and attgenerated = ''
    order by attname <> ${keyOf(table)}, attnum`);
  return columns.filter(({ name }) => !left.includes(name));
}

/** A row `t` as an array of values; migrations/0030 says how. */
export function valuesOf(columns: Column[]): Fragment {
  const value = (column: Column): Fragment => {
    const name = sql.identifier(column.name);
    if (isJson(column))
      return sql.fragment`case when t.${name} is not null then jsonb_build_array(t.${name}) end`;
    return plainTypes.test(column.type) ? sql.fragment`t.${name}` : sql.fragment`t.${name}::text`;
  };
  return sql.fragment`jsonb_build_array(${list(columns.map(value))})`;
}

export function list(parts: Fragment[]): Fragment {
  return parts.reduce((all, part) => sql.fragment`${all}, ${part}`);
}

export interface Restoring {
  /** Columns to write, and from which value of `r.value`, the array of a row, each is made. */
  names: Fragment[];
  values: Fragment[];
  /** Columns that the table has no more, and no `attributes` to keep them in. */
  lost: string[];
}

/** From the columns of a chunk to those of the table: new ones take their default, dropped ones go to `attributes`. */
export function restoring(kept: Column[], now: Column[]): Restoring {
  const places = new Map(kept.map((column, index) => [column.name, { column, index }]));
  const dropped = kept.filter(
    (column) => !left.includes(column.name) && !now.some(({ name }) => name === column.name),
  );
  const attributes = now.some(({ name, type }) => name === 'attributes' && type === 'jsonb');
  const names: Fragment[] = [];
  const values: Fragment[] = [];
  for (const column of now) {
    const place = places.get(column.name);
    const keeps = column.name === 'attributes' && attributes && dropped.length > 0;
    if (!place && !keeps) continue;
    names.push(sql.identifier(column.name));
    const value = place ? read(place.column, place.index, column.type) : sql.fragment`'{}'::jsonb`;
    values.push(keeps ? withDropped(value, kept, dropped) : value);
  }
  return { names, values, lost: attributes ? [] : dropped.map(({ name }) => name) };
}

function read(kept: Column, index: number, type: string): Fragment {
  const as = new Fragment([type], []);
  if (isJson(kept)) {
    return type === 'jsonb'
      ? sql.fragment`r.value -> ${index}::int -> 0`
      : sql.fragment`(r.value -> ${index}::int ->> 0)::${as}`;
  }
  return type === 'jsonb'
    ? sql.fragment`nullif(r.value -> ${index}::int, 'null')`
    : sql.fragment`(r.value ->> ${index}::int)::${as}`;
}

/** What was there under the same name stays. */
function withDropped(attributes: Fragment, kept: Column[], dropped: Column[]): Fragment {
  const rows = dropped.map((column) => {
    const raw = sql.fragment`r.value -> ${kept.indexOf(column)}::int`;
    return sql.fragment`(${column.name}::text, ${raw}, ${isJson(column) ? sql.fragment`${raw} -> 0` : raw})`;
  });
  return sql.fragment`(
    select coalesce(json_object_agg(d.name, d.value)::jsonb, '{}') from (values ${list(rows)}) d (name, raw, value)
    where d.raw <> 'null'
  ) || (${attributes})`;
}
