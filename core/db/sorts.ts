import { isStorable } from '../contract/text.ts';
import { type Fragment, sql } from './sql.ts';

/** What rows can be ordered by: never null, with an index in each scope of the list that offers it. */
export interface Sort {
  /** The key as its index has it. */
  key: Fragment;
  /** The key as text, from which `bind` makes it again to the last bit. */
  text: (key: Fragment) => Fragment;
  bind: (text: string) => Fragment;
  isKey: (text: string) => boolean;
  /** No two rows of a scope have the same key, so that it orders them alone. */
  isUnique?: true;
}

/** A time column as the API writes it: UTC, ISO-8601, with its µs. */
export function utc(column: Fragment): Fragment {
  return sql.fragment`to_char(${column} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}

const byTime = (column: Fragment): Sort => ({
  key: column,
  text: utc,
  bind: (text) => sql.fragment`${text}::timestamptz`,
  isKey: isTime,
});

/** In the order of code points, whatever the language of the database. */
const byText = (column: Fragment): Sort => ({
  key: sql.fragment`${column} collate "C"`,
  text: (key) => key,
  bind: (text) => sql.fragment`${text}::text`,
  isKey: isStorable,
});

export const created = byTime(sql.fragment`created_at`);
export const updated = byTime(sql.fragment`updated_at`);
export const name = byText(sql.fragment`name`);
export const fullName = byText(sql.fragment`full_name`);
/** Those without an email come first. */
export const email = byText(sql.fragment`coalesce(lower(email), '')`);

/** One job for each company of a batch; many are made in the same microsecond. */
export const company: Sort = {
  key: sql.fragment`company_id`,
  text: (key) => sql.fragment`${key}::text`,
  bind: (text) => sql.fragment`${text}::uuid`,
  isKey: (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text),
  isUnique: true,
};

/** A day that exists, in a year that Postgres knows. */
function isTime(time: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$/.test(time) || time.startsWith('0000')) return false;
  const ms = Date.parse(`${time.slice(0, 23)}Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().slice(0, 23) === time.slice(0, 23);
}
