import type { Campaign } from '../contract/campaigns.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { Conflict, NotFound } from '../errors.ts';
import { columns } from './columns.ts';

/** @throws NotFound */
export async function getCampaign({ db }: { db: Db }, tenantId: string, id: string): Promise<Campaign> {
  const [campaign] = await db.query<Campaign>(sql('campaigns.get')`
    select ${columns} from campaigns where id = ${id} and user_id = ${tenantId} and deleted_at is null`);
  if (!campaign) throw new NotFound('campaign', id);
  return campaign;
}

/**
 * Whether a list below a campaign that came to its end came to its real one: the id may be mistyped, and of a campaign that
 * is deleted or archived between two statements the second finds nothing more.
 * @throws NotFound, and Conflict `campaign_archived`
 */
export async function checkCampaign({ db }: { db: Db }, tenantId: string, id: string): Promise<void> {
  const [campaign] = await db.query<{ whole: boolean }>(sql('campaigns.whole')`
    select aim.campaign_is_whole(${tenantId}, ${id}) as whole`);
  if (!campaign?.whole) throw new NotFound('campaign', id);
}

/**
 * Holds a campaign for writing below it until the transaction ends; whoever archives it, or
 * takes its row away, waits.
 * @throws NotFound, and Conflict `campaign_archived`
 */
export async function holdCampaign({ db }: { db: Db }, tenantId: string, id: string): Promise<void> {
  const [campaign] = await db.query<{ archived: boolean }>(sql('campaigns.hold')`
    select archived from campaigns
    where id = ${id} and user_id = ${tenantId} and deleted_at is null for key share`);
  if (!campaign) throw new NotFound('campaign', id);
  if (campaign.archived) {
    throw new Conflict('campaign_archived', `campaign ${id} is archived; restore it before adding to it`);
  }
}
