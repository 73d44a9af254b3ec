import { checkCampaign } from '../../campaigns/get.ts';
import type { Page } from '../../contract/page.ts';
import type { Prospect, ProspectQuery } from '../../contract/research.ts';
import type { Db } from '../../db/connect.ts';
import { readPage, utc } from '../../db/keyset.ts';
import { ofCampaign, ofResearch, scopeOf } from '../../db/scope.ts';
import { sql } from '../../db/sql.ts';
import { NotFound } from '../../errors.ts';

const columns = sql.fragment`id, campaign_id as "campaignId", company_id as "companyId",
  company_research_id as "researchId", full_name as "fullName", email, title, phone, linkedin, attributes,
  ${utc(sql.fragment`created_at`)} as "createdAt", ${utc(sql.fragment`updated_at`)} as "updatedAt"`;

/** One page of people found, of one campaign, one research or all. @throws NotFound for an unknown campaign */
export async function listProspects(
  deps: { db: Db },
  tenantId: string,
  query: ProspectQuery,
): Promise<Page<Prospect>> {
  const { campaignId, researchId, ...page } = query;
  const scope = scopeOf(
    tenantId,
    campaignId === undefined ? undefined : ofCampaign(tenantId, campaignId),
    researchId === undefined ? undefined : ofResearch(tenantId, researchId),
  );
  const prospects = await readPage('prospects', { campaignId, researchId }, page, (keyset) =>
    deps.db.query<Prospect>(sql('prospects.page')`
      select ${columns} from prospect_research
      where ${scope} ${keyset.after}
      ${keyset.orderAndLimit}`),
  );
  if (prospects.data.length === 0 && campaignId !== undefined)
    await checkCampaign(deps, tenantId, campaignId);
  return prospects;
}

/** @throws NotFound */
export async function getProspect({ db }: { db: Db }, tenantId: string, id: string): Promise<Prospect> {
  const [prospect] = await db.query<Prospect>(sql('prospects.get')`
    select ${columns} from prospect_research where id = ${id} and user_id = ${tenantId}`);
  if (!prospect) throw new NotFound('prospect', id);
  return prospect;
}
