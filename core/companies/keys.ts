import { type Fragment, sql } from '../db/sql.ts';

/**
 * The companies of a campaign with these natural keys, as rows of `key, id`: `from ${companiesWithKeys(…)} c`. To be sent
 * by `walk`: each is looked up by a range of one key, whose order only the index of keys has. Otherwise, and by an equation,
 * for an order by what equals a constant is none, the planner may read the campaign by another index, for each key.
 */
export const companiesWithKeys = (
  tenantId: string,
  campaignId: string,
  keys: string[],
): Fragment => sql.fragment`(
  select k.key, found.id from unnest(${keys}::text[]) k (key)
  cross join lateral (
    select id, user_id from companies
    where campaign_id = ${campaignId} and natural_key >= k.key and natural_key <= k.key
    order by natural_key limit 1
  ) found
  where found.user_id = ${tenantId}
)`;
