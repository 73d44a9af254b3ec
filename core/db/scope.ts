import { type Fragment, sql } from './sql.ts';

/*
 * The rows of a list bind their tenant once. Below a parent that belongs to the tenant the parent is asked, and not
 * each row: foreign keys carry the tenant down, the planner takes the parent's index, which is in the order of the
 * page, and without a second condition on the rows it expects as many as there are, even in a table never analysed.
 */

export function ofTenant(tenantId: string): Fragment {
  return sql.fragment`user_id = ${tenantId}`;
}

export function ofCampaign(tenantId: string, id: string): Fragment {
  return sql.fragment`campaign_id = ${id} and exists (
    select from campaigns where id = ${id} and user_id = ${tenantId} and deleted_at is null)`;
}

export function ofCompany(tenantId: string, id: string): Fragment {
  return sql.fragment`company_id = ${id} and exists (
    select from companies where id = ${id} and user_id = ${tenantId})`;
}

export function ofResearch(tenantId: string, id: string): Fragment {
  return sql.fragment`company_research_id = ${id} and exists (
    select from company_research where id = ${id} and user_id = ${tenantId})`;
}

/** All that are given, or the whole tenant when none is. */
export function scopeOf(tenantId: string, ...parts: (Fragment | undefined)[]): Fragment {
  const [first, ...rest] = parts.filter((part) => part !== undefined);
  if (first === undefined) return ofTenant(tenantId);
  return rest.reduce((all, part) => sql.fragment`${all} and ${part}`, first);
}
