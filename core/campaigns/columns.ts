import { columnsOf } from '../db/keyset.ts';
import { utc } from '../db/sorts.ts';
import { type Fragment, sql } from '../db/sql.ts';

const own = {
  id: sql.fragment`id`,
  name: sql.fragment`name`,
  archived: sql.fragment`archived`,
  archivedAt: utc(sql.fragment`archived_at`),
  closedAt: utc(sql.fragment`closed_at`),
  version: sql.fragment`version`,
  createdAt: utc(sql.fragment`created_at`),
  updatedAt: utc(sql.fragment`updated_at`),
};

/** What is folded, and what came since. Exact when one statement reads both, for a fold moves one into the other. */
export const companiesCount = sql.fragment`(campaigns.companies_count + (
  select coalesce(sum(d.companies), 0) from campaign_count_deltas d where d.campaign_id = campaigns.id))::bigint`;
export const contactsCount = sql.fragment`(campaigns.contacts_count + (
  select coalesce(sum(d.contacts), 0) from campaign_count_deltas d where d.campaign_id = campaigns.id))::bigint`;

/** None of an archived one, though its rows go one by one: neither are they listed any more. */
const shown = (count: Fragment) => sql.fragment`case when campaigns.archived then 0 else ${count} end`;

/**
 * A row of `campaigns` as the API writes a Campaign. For a SELECT alone: RETURNING sees the row as it is now and the
 * deltas as they were when the statement began, so that a fold that commits in between counts twice.
 */
export const fields = {
  ...own,
  companiesCount: shown(companiesCount),
  contactsCount: shown(contactsCount),
};
export const columns = columnsOf({ columns: fields });

/** The same of a campaign that nobody has seen yet, so that nothing can be in it. */
export const columnsOfNew = columnsOf({
  columns: { ...own, companiesCount: sql.fragment`0`, contactsCount: sql.fragment`0` },
});
