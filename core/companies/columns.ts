import { columnsOf } from '../db/keyset.ts';
import { utc } from '../db/sorts.ts';
import { sql } from '../db/sql.ts';

/** A row of `companies` as the API writes a Company. */
export const fields = {
  id: sql.fragment`id`,
  campaignId: sql.fragment`campaign_id`,
  name: sql.fragment`name`,
  domain: sql.fragment`domain`,
  attributes: sql.fragment`attributes`,
  version: sql.fragment`version`,
  createdAt: utc(sql.fragment`created_at`),
  updatedAt: utc(sql.fragment`updated_at`),
};
export const columns = columnsOf({ columns: fields });
