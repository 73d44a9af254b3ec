import type { AttributeValue } from '../contract/filters.ts';
import type { PageRequest } from '../contract/page.ts';
import { type Fragment, sql } from './sql.ts';

/** A filter that was given, as a condition; nothing for one that was not. */
export function check<Value>(value: Value | undefined, condition: (value: Value) => Fragment): Fragment[] {
  return value === undefined ? [] : [condition(value)];
}

export const attributeIs = ({ name, value }: AttributeValue) =>
  sql.fragment`attributes ->> ${name} = ${value}`;

/** Numbers from the index when rows are sorted by the same time, and are looked at one by one otherwise. */
export function since(
  { sort }: Pick<PageRequest, 'sort'>,
  updatedSince: string | undefined,
): { range: Fragment; checks: Fragment[] } {
  if (updatedSince === undefined) return { range: sql.empty, checks: [] };
  const condition = sql.fragment`updated_at >= ${updatedSince}::timestamptz`;
  if (sort === 'updated') return { range: sql.fragment`and ${condition}`, checks: [] };
  return { range: sql.empty, checks: [condition] };
}
