import type { Campaign, CampaignQuery } from '../contract/campaigns.ts';
import type { Page } from '../contract/page.ts';
import type { Db } from '../db/connect.ts';
import { readPage } from '../db/keyset.ts';
import { sql } from '../db/sql.ts';
import { columns } from './columns.ts';

/** One page of a tenant's campaigns; active ones unless asked otherwise. */
export function listCampaigns(
  { db }: { db: Db },
  tenantId: string,
  query: CampaignQuery,
): Promise<Page<Campaign>> {
  const { archived, ...page } = query;
  const which =
    archived === 'any'
      ? sql.empty
      : archived === 'true'
        ? sql.fragment`and archived`
        : sql.fragment`and not archived`;
  return readPage('campaigns', { archived }, page, (keyset) =>
    db.query<Campaign>(sql('campaigns.page')`
      select ${columns} from campaigns
      where user_id = ${tenantId} and deleted_at is null ${which} ${keyset.after}
      ${keyset.orderAndLimit}`),
  );
}
