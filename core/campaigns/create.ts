import type { Campaign, CampaignDraft } from '../contract/campaigns.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { columnsOfNew } from './columns.ts';

export async function createCampaign(
  { db }: { db: Db },
  tenantId: string,
  draft: CampaignDraft,
): Promise<Campaign> {
  const [campaign] = await db.query<Campaign>(sql('campaigns.create')`
    insert into campaigns (user_id, name) values (${tenantId}, ${draft.name}) returning ${columnsOfNew}`);
  return campaign as Campaign;
}
