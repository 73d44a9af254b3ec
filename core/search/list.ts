import type { Page, PageRequest } from '../contract/page.ts';
import type { Db } from '../db/connect.ts';
import { bytesPerStatement, columnsOf, countFitting, fitting, type ListShape } from '../db/keyset.ts';
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
  shape: Pick<ListShape, 'table' | 'columns' | 'large'>,
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
  const inOrder = sql.fragment`place`;
  const rows = fitting(
    shape,
    { fields, inOrder },
    (sizes) => sql.fragment`
    select ${columnsOf(shape, fields)} ${sizes}
    from unnest(${hits.map((hit) => hit.id)}::uuid[]) with ordinality hit (id, place) join ${shape.table} using (id)
    where user_id = ${tenantId} order by ${inOrder}`,
  );
  const found = await db.query<Row & { bytes?: number }>(sql(`search.${entity}_rows`)`${rows}`);
  const isCut = (found.at(-1)?.bytes ?? 0) >= bytesPerStatement;
  const shown = found.slice(0, countFitting(found)).map(({ bytes: _, ...row }) => row as unknown as Row);
  const lastShown = hits.find((hit) => hit.id === shown.at(-1)?.id);
  const last = isCut || shown.length < found.length ? lastShown : hasMore ? hits.at(-1) : undefined;
  return { data: shown, next: last === undefined ? null : after(last) };
}
