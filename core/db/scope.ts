import { NotFound } from '../errors.ts';
import type { Db } from './connect.ts';
import { type Fragment, sql } from './sql.ts';

/*
 * The rows of a list bind their tenant once. Below a parent that belongs to the tenant the parent is asked, and not
 * each row: foreign keys carry the tenant down, the planner takes the parent's index, which is in the order of the
 * page, and without a second condition on the rows it expects as many as there are, even in a table never analysed.
 */

export function ofTenant(tenantId: string): Fragment {
  return sql.fragment`user_id = ${tenantId}`;
}

/** One row that is known by its id: a copy of it would stand though it goes into an archive, or with its campaign. */
export function whole(tenantId: string): Fragment {
  return sql.fragment`user_id = ${tenantId} and aim.campaign_is_whole(user_id, campaign_id)`;
}

/** Conflict `campaign_archived` while its rows are in an archive, or on their way there or back. */
export function ofCampaign(tenantId: string, id: string): Fragment {
  return sql.fragment`campaign_id = ${id} and (select aim.campaign_is_whole(${tenantId}, ${id}))`;
}

/** As `ofCampaign`, of its campaign. */
export function ofCompany(tenantId: string, id: string): Fragment {
  return sql.fragment`company_id = ${id} and (
    select aim.campaign_is_whole(user_id, campaign_id) from companies where id = ${id} and user_id = ${tenantId})`;
}

/** As `ofCampaign`, of its campaign. */
export function ofBatch(tenantId: string, id: string): Fragment {
  return sql.fragment`batch_id = ${id} and (
    select aim.campaign_is_whole(user_id, campaign_id) from research_batches where id = ${id} and user_id = ${tenantId})`;
}

/** As `ofCampaign`, of its campaign. */
export function ofResearch(tenantId: string, id: string): Fragment {
  return sql.fragment`company_research_id = ${id} and (
    select aim.campaign_is_whole(user_id, campaign_id) from company_research where id = ${id} and user_id = ${tenantId})`;
}

/** All that are given, or the whole tenant when none is. */
export function scopeOf(tenantId: string, ...parts: (Fragment | undefined)[]): Fragment {
  const [first, ...rest] = parts.filter((part) => part !== undefined);
  if (first === undefined) return ofTenant(tenantId);
  return rest.reduce((all, part) => sql.fragment`${all} and ${part}`, first);
}

const parents = {
  company: sql.fragment`companies`,
  research: sql.fragment`company_research`,
  batch: sql.fragment`research_batches`,
};

/**
 * Whether a list below this row that came to its end came to its real one. Its id may be mistyped, and rows go into an
 * archive before the row that they hang on: where that one is still there, so were they.
 * @throws NotFound, and Conflict `campaign_archived`
 */
export async function checkParent(
  db: Db,
  tenantId: string,
  kind: keyof typeof parents,
  id: string,
): Promise<void> {
  const rows = await db.query(sql(`list.${kind}`)`
    select id from ${parents[kind]} where id = ${id} and ${whole(tenantId)}`);
  if (rows.length === 0) throw new NotFound(kind, id);
}
