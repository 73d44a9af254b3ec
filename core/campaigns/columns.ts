import { utc } from '../db/keyset.ts';
import { sql } from '../db/sql.ts';

/** A row of `campaigns` as the API writes a Campaign. */
export const columns = sql.fragment`id, name, archived, ${utc(sql.fragment`archived_at`)} as "archivedAt", version,
  ${utc(sql.fragment`created_at`)} as "createdAt", ${utc(sql.fragment`updated_at`)} as "updatedAt"`;
