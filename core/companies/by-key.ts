import { type Fragment, sql } from '../db/sql.ts';

/**
 * Companies of a campaign by their natural keys, as a table: one look into the index for each. For a thousand keys at
 * once, and a campaign that its statistics do not know yet, the planner would read all of it.
 * @param keys distinct
 */
export const byKey = (campaignId: string, keys: string[]): Fragment => sql.fragment`(
  select found.id, found.natural_key, found.user_id
  from unnest(${keys}::text[]) as wanted (key)
  cross join lateral (
    select id, natural_key, user_id from companies
    where campaign_id = ${campaignId} and natural_key = wanted.key limit 1
  ) found
)`;
