import type { Campaign, CampaignQuery } from '../contract/campaigns.ts';
import type { Page } from '../contract/page.ts';
import type { Db } from '../db/connect.ts';
import { type ListShape, readPage } from '../db/keyset.ts';
import { created, name, updated } from '../db/sorts.ts';
import { sql } from '../db/sql.ts';
import { fields } from './columns.ts';

const shape: ListShape = {
  name: 'campaigns',
  table: sql.fragment`campaigns`,
  columns: fields,
  sorts: { created, updated, name },
};

/** One page of a tenant's campaigns; active ones unless asked otherwise. */
export function listCampaigns(
  { db }: { db: Db },
  tenantId: string,
  { archived, updatedSince, ...page }: CampaignQuery,
): Promise<Page<Campaign>> {
  const seen = sql.fragment`user_id = ${tenantId} and deleted_at is null`;
  return readPage<Campaign>(db, shape, page, {
    filter: { archived, updatedSince },
    scope: archived === 'false' ? sql.fragment`${seen} and not archived` : seen,
    checks: [
      ...(archived === 'true' ? [sql.fragment`archived`] : []),
      ...(updatedSince === undefined ? [] : [sql.fragment`updated_at >= ${updatedSince}::timestamptz`]),
    ],
  });
}
