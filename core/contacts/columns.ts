import { utc } from '../db/keyset.ts';
import { sql } from '../db/sql.ts';

/** A row of `contacts` as the API writes a Contact. */
export const columns = sql.fragment`id, campaign_id as "campaignId", company_id as "companyId", full_name as "fullName",
  email, title, phone, linkedin, attributes, version,
  ${utc(sql.fragment`created_at`)} as "createdAt", ${utc(sql.fragment`updated_at`)} as "updatedAt"`;
