import { maxSearchLength } from '../contract/search.ts';
import { isStorable } from '../contract/text.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { InvalidRequest } from '../errors.ts';
import { type Hit, type SearchedEntity, searchCursor } from './cursor.ts';

export interface SearchRequest {
  /** Words, "phrases", -without, or; the last word may be unfinished unless a blank follows it. */
  q: string;
  campaignId?: string | undefined;
  limit: number;
  cursor?: string | undefined;
}

export interface SearchPage {
  /** Best first. */
  hits: Hit[];
  /** Whether more follow these. */
  hasMore: boolean;
  /** The cursor of the page that begins after this hit. */
  after: (hit: Hit) => string;
}

const functions = {
  companies: sql.fragment`aim.search_companies`,
  contacts: sql.fragment`aim.search_contacts`,
  research: sql.fragment`aim.search_research`,
} as const;

/** What aim.search_… raises for a query without anything to look for. */
const nothingToFind = 'AIM01';

/**
 * Finds entities of a tenant, and of one campaign when given, by the words of their names (which count more), titles,
 * emails and domains; research by its company. When nothing has them, by names that are spelled alike. The newest
 * 1,000 matches are ranked.
 * @throws InvalidRequest for a text that cannot be searched for, or only says what not to find
 * @throws InvalidCursor for a cursor of another search
 */
export async function search(
  db: Db,
  tenantId: string,
  entity: SearchedEntity,
  { q, campaignId, limit, cursor }: SearchRequest,
): Promise<SearchPage> {
  if (!isStorable(q))
    throw invalid('unstorable_text', 'the text holds a NUL character or half a surrogate pair; remove it');
  if (q.length > maxSearchLength)
    throw invalid('too_long', `search for at most ${maxSearchLength} characters`);
  const scope = searchCursor(entity, { q, campaignId });
  const start = cursor === undefined ? undefined : scope.decode(cursor);

  const statement = sql(`search.${entity}`)`
    select id, rank::text as rank, way from ${functions[entity]}(
      ${tenantId}, ${campaignId ?? null}, ${q}, ${start?.way ?? null}, ${start?.rank ?? null}::text::real,
      ${start?.id ?? null}, ${limit + 1})
    ${campaignId === undefined ? sql.empty : sql.fragment`where (select aim.campaign_is_whole(${tenantId}, ${campaignId}))`}`;
  const hits = await db.query<Hit>(statement).catch((error: unknown) => {
    if ((error as { code?: unknown }).code !== nothingToFind) throw error;
    const problem = 'name at least one word to find, without a minus';
    throw invalid('nothing_to_find', problem, { cause: error });
  });
  return { hits: hits.slice(0, limit), hasMore: hits.length > limit, after: scope.encode };
}

function invalid(code: string, message: string, options?: ErrorOptions): InvalidRequest {
  return new InvalidRequest([{ path: 'search', code, message }], options);
}
