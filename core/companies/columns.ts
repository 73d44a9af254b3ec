import { utc } from '../db/keyset.ts';
import { sql } from '../db/sql.ts';

/** A row of `companies` as the API writes a Company. */
export const columns = sql.fragment`id, campaign_id as "campaignId", name, domain, attributes, version,
  ${utc(sql.fragment`created_at`)} as "createdAt", ${utc(sql.fragment`updated_at`)} as "updatedAt"`;
