import type { Campaign, CampaignDraft } from '../contract/campaigns.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { columns } from './columns.ts';

export async function createCampaign(
  { db }: { db: Db },
  tenantId: string,
  draft: CampaignDraft,
): Promise<Campaign> {
  const [campaign] = await db.query<Campaign>(sql('campaigns.create')`
    insert into campaigns (user_id, name) values (${tenantId}, ${draft.name}) returning ${columns}`);
  return campaign as Campaign;
}
