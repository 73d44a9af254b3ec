import type { Campaign, CampaignPatch } from '../contract/campaigns.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { NotFound } from '../errors.ts';
import { getCampaign } from './get.ts';

/** Renames a campaign, closes it or opens it again, an archived one too. @throws NotFound */
export function updateCampaign(
  { db }: { db: Db },
  tenantId: string,
  id: string,
  { name, closed }: CampaignPatch,
): Promise<Campaign> {
  return db.transaction(async (tx) => {
    const updated = await tx.query(sql('campaigns.update')`
      update campaigns set name = coalesce(${name ?? null}, name),
        closed_at = case when ${closed ?? null}::boolean is null then closed_at
          when ${closed ?? null}::boolean then coalesce(closed_at, now()) end, version = version + 1, updated_at = now()
      where id = ${id} and user_id = ${tenantId} and deleted_at is null returning id`);
    if (updated.length === 0) throw new NotFound('campaign', id);
    return getCampaign({ db: tx }, tenantId, id);
  });
}
