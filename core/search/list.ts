import type { Page, PageRequest } from '../contract/page.ts';
import type { Db } from '../db/connect.ts';
import { columnsOf, countFitting, type ListShape } from '../db/keyset.ts';
import { sql } from '../db/sql.ts';
import { InvalidRequest } from '../errors.ts';
import type { SearchedEntity } from './cursor.ts';
import { search } from './search.ts';

/**
 * One page of what a search finds, best first. A hit that was deleted since is left out and large rows end a page
 * early, so it may be short.
 * @param filter of the list; only the campaign goes with a search
 * @throws InvalidRequest where another filter or an order is given too
 */
export async function searchPage<Row extends { id: string }>(
  db: Db,
  tenantId: string,
  entity: SearchedEntity,
  shape: Pick<ListShape, 'table' | 'columns'>,
  q: string,
  { limit, cursor, fields, follow, sort, order }: PageRequest,
  { campaignId, ...filter }: { campaignId?: string | undefined } & Record<string, unknown>,
): Promise<Page<Row>> {
  const others = Object.entries({
    ...filter,
    follow,
    sort: sort === 'created' ? undefined : sort,
    order: order === 'desc' ? undefined : order,
  });
  const errors = others
    .filter(([, value]) => value !== undefined)
    .map(([path]) => ({
      path,
      code: 'not_with_search',
      message: `a search cannot be combined with ${path}`,
    }));
  if (errors.length > 0) throw new InvalidRequest(errors);

  const { hits, hasMore, after } = await search(db, tenantId, entity, { q, campaignId, limit, cursor });
  const rows = await db.query<Row>(sql(`search.${entity}_rows`)`
    select ${columnsOf(shape, fields)} from ${shape.table}
    where id = any(${hits.map((hit) => hit.id)}::uuid[]) and user_id = ${tenantId}`);
  const byId = new Map(rows.map((row) => [row.id, row]));
  const found = hits.flatMap((hit) => {
    const row = byId.get(hit.id);
    return row === undefined ? [] : [{ hit, row }];
  });
  const shown = found.slice(0, countFitting(found.map(({ row }) => row)));
  const last = shown.length < found.length ? shown.at(-1)?.hit : hasMore ? hits.at(-1) : undefined;
  return { data: shown.map(({ row }) => row), next: last === undefined ? null : after(last) };
}
