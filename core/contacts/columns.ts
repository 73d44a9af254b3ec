import { columnsOf } from '../db/keyset.ts';
import { utc } from '../db/sorts.ts';
import { sql } from '../db/sql.ts';

/** A row of `contacts` as the API writes a Contact. */
export const fields = {
  id: sql.fragment`id`,
  campaignId: sql.fragment`campaign_id`,
  companyId: sql.fragment`company_id`,
  fullName: sql.fragment`full_name`,
  email: sql.fragment`email`,
  title: sql.fragment`title`,
  phone: sql.fragment`phone`,
  linkedin: sql.fragment`linkedin`,
  attributes: sql.fragment`attributes`,
  version: sql.fragment`version`,
  createdAt: utc(sql.fragment`created_at`),
  updatedAt: utc(sql.fragment`updated_at`),
};
export const columns = columnsOf({ columns: fields });
