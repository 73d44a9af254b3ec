import type { Db } from '../db/connect.ts';
import { Fragment, sql } from '../db/sql.ts';
import { type ArchivedTable, keyOf } from './chunk.ts';

/** A column of a table as it is now, or as it was when a chunk was made. */
export interface Column {
  name: string;
  type: string;
  /** JSON that may also be no value at all: each value is in an array of its own. */
  isWrapped?: boolean;
}

/** As a chunk's `columns` has it; migrations/0050 says how. */
export type KeptColumn = [name: string, type: string, wrapped?: 'wrapped'];

export const keptOf = ({ name, type, isWrapped = false }: Column): KeptColumn =>
  isWrapped ? [name, type, 'wrapped'] : [name, type];

export const columnOf = ([name, type, wrapped]: KeptColumn): Column => ({
  name,
  type,
  isWrapped: wrapped === 'wrapped',
});

/** JSON has these; any other type is kept as its text. */
const plainTypes =
  /^(uuid|text|boolean|smallint|integer|bigint|numeric[^[]*|real|double precision|character[^[]*|bytea|date|timestamp[^[]*)$/;
/** What is equal is the same here, to the last digit and space. */
const exactTypes = /^(uuid|text|boolean|smallint|integer|bigint|date|timestamp[^[]*)$/;
/** Of these no value has a comma in it, nor is `null`. */
const listedTypes = /^(uuid|timestamp[^[]*)$/;
export const isJson = ({ type }: Column) => type === 'json' || type === 'jsonb';

/**
 * Not kept: what is the same for all rows of an archive, what is made anew, and the URL that resumes an execution for
 * whoever knows it. No batch in an archive has a resume that is still due.
 */
const left = ['user_id', 'campaign_id', 'search_vector', 'resume_url'];

/** What can be written, the key first. */
export async function columnsOf(db: Db, table: ArchivedTable): Promise<Column[]> {
  const columns = await db.query<Column>(sql('archive.columns')`
    select attname as name, format_type(atttypid, atttypmod) as type,
      atttypid in ('json'::regtype, 'jsonb'::regtype) and not attnotnull as "isWrapped" from pg_attribute
    where attrelid = ${`public.${table}`}::regclass and attnum > 0 and not attisdropped and attgenerated = ''
    order by attname <> ${keyOf(table)}, attnum`);
  return columns.filter(({ name }) => !left.includes(name));
}

/** A value of a row `t`, as a chunk keeps it. */
function keptValue({ name, type, isWrapped }: Column): Fragment {
  const value = sql.fragment`t.${sql.identifier(name)}`;
  if (isWrapped) return sql.fragment`case when ${value} is not null then jsonb_build_array(${value}) end`;
  return isJson({ name, type }) || plainTypes.test(type) ? value : sql.fragment`${value}::text`;
}

const placed = (index: number) => sql.identifier(`c${index}`);

/**
 * Each column's values of all rows `t` as an array `c0`, `c1`, …, in the order in which the rows come: to be selected from
 * an ordered subquery, without grouping. Not jsonb_agg, which copies each string with a look up to the next zero byte:
 * quadratic where a row is large.
 */
export function gathered(columns: Column[]): Fragment {
  return list(
    columns.map((column, index) => sql.fragment`array_agg(${keptValue(column)}) as ${placed(index)}`),
  );
}

/** A part of such arrays. */
export function sliced(columns: Column[], from: Fragment, to: Fragment): Fragment {
  return list(columns.map((_, index) => sql.fragment`${placed(index)}[${from}:${to}] as ${placed(index)}`));
}

/** What a chunk keeps of such arrays: where all values are the same, one of them; what has no comma as one text. */
export function folded(columns: Column[]): Fragment {
  const kept = columns.map(({ type }, index) => {
    const values = placed(index);
    if (!exactTypes.test(type)) return values;
    const exactly = type === 'text' ? sql.fragment`collate "C"` : sql.empty;
    // Mostly the first and the last differ, which is seen without filling an array.
    const once = sql.fragment`case
      when ${values}[1] ${exactly} is distinct from ${values}[cardinality(${values})] then ${values}
      when ${values} ${exactly} = array_fill(${values}[1], array[cardinality(${values})]) then ${values}[1:1]
      else ${values} end`;
    if (!listedTypes.test(type)) return once;
    const all = sql.fragment`array_to_string(${once}, ',', 'null')`;
    // The compression of Postgres takes twice the time where a hyphen comes every few digits.
    return type === 'uuid' ? sql.fragment`replace(${all}, '-', '')` : all;
  });
  return sql.fragment`jsonb_build_array(${list(kept)})`;
}

export function list(parts: Fragment[]): Fragment {
  return parts.reduce((all, part) => sql.fragment`${all}, ${part}`);
}

export interface Restoring {
  /** Columns to write, and from which of the `sources` each is made. */
  names: Fragment[];
  values: Fragment[];
  /** The rows of a chunk `k`, whose values are in memory as `k.rows`: a source of rows `r (c0, c1, …)`. */
  source: Fragment;
  /** Columns that the table has no more, and no `attributes` to keep them in. */
  lost: string[];
}

/** From the columns of a chunk to those of the table: new ones take their default, dropped ones go to `attributes`. */
export function restoring(kept: Column[], now: Column[]): Restoring {
  const places = new Map(kept.map((column, index) => [column.name, { column, index }]));
  const types = new Map(now.map(({ name, type }) => [name, type]));
  const dropped = kept.filter(({ name }) => !left.includes(name) && !types.has(name));
  const attributes = types.get('attributes') === 'jsonb';
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
  const elements = kept.map((column, index) => {
    const asJson = isJson(column) || (types.get(column.name) ?? 'jsonb') === 'jsonb';
    const given = sql.fragment`k.rows -> ${index}::int`;
    return asJson
      ? sql.fragment`jsonb_array_elements(aim.chunk_column(${given}, ${column.type}::text, k.row_count))`
      : sql.fragment`aim.chunk_texts(${given}, k.row_count)`;
  });
  const source = sql.fragment`rows from (${list(elements)}) with ordinality
    r (${list(kept.map((_, index) => placed(index)))}, place)`;
  return { names, values, source, lost: attributes ? [] : dropped.map(({ name }) => name) };
}

function read(kept: Column, index: number, type: string): Fragment {
  const as = new Fragment([type], []);
  const value = sql.fragment`r.${placed(index)}`;
  if (isJson(kept)) {
    const json = kept.isWrapped ? sql.fragment`${value} -> 0` : value;
    return isJson({ name: '', type })
      ? sql.fragment`(${json})::${as}`
      : sql.fragment`(${json} #>> '{}')::${as}`;
  }
  return type === 'jsonb' ? sql.fragment`nullif(${value}, 'null')` : sql.fragment`${value}::${as}`;
}

/** What was there under the same name stays. */
function withDropped(attributes: Fragment, kept: Column[], dropped: Column[]): Fragment {
  const rows = dropped.map((column) => {
    const raw = sql.fragment`r.${placed(kept.indexOf(column))}`;
    return sql.fragment`(${column.name}::text, ${raw}, ${column.isWrapped ? sql.fragment`${raw} -> 0` : raw})`;
  });
  return sql.fragment`(
    select coalesce(json_object_agg(d.name, d.value)::jsonb, '{}') from (values ${list(rows)}) d (name, raw, value)
    where d.raw <> 'null'
  ) || (${attributes})`;
}
