import type { Page } from '../contract/page.ts';
import type { Db } from '../db/connect.ts';
import { countFitting } from '../db/keyset.ts';
import type { SearchedEntity } from './cursor.ts';
import { type SearchRequest, search } from './search.ts';

/**
 * One page of a list that is searched, best first. Ends early, with a `next`, where rows are large.
 * @param read the rows of these ids, in any order; those gone meanwhile are left out
 * @throws InvalidRequest and InvalidCursor as `search` does
 */
export async function searchPage<Row extends { id: string }>(
  deps: { db: Db },
  tenantId: string,
  entity: SearchedEntity,
  request: SearchRequest,
  read: (ids: string[]) => Promise<Row[]>,
): Promise<Page<Row>> {
  const { hits, hasMore, after } = await search(deps.db, tenantId, entity, request);
  const rows = hits.length === 0 ? [] : await read(hits.map((hit) => hit.id));
  const byId = new Map(rows.map((row) => [row.id, row]));
  const found = hits.flatMap((hit) => {
    const row = byId.get(hit.id);
    return row === undefined ? [] : [{ hit, row }];
  });
  const fitting = countFitting(found.map(({ row }) => row));
  const shown = found.slice(0, fitting);
  const last = fitting < found.length ? shown.at(-1)?.hit : hasMore ? hits.at(-1) : undefined;
  return { data: shown.map(({ row }) => row), next: last === undefined ? null : after(last) };
}
