import { checkCampaign } from '../../campaigns/get.ts';
import type { Page } from '../../contract/page.ts';
import type { Research, ResearchQuery } from '../../contract/research.ts';
import type { Db } from '../../db/connect.ts';
import { readPage, utc } from '../../db/keyset.ts';
import { ofCampaign, ofCompany, scopeOf } from '../../db/scope.ts';
import { sql } from '../../db/sql.ts';
import { NotFound } from '../../errors.ts';

const columns = sql.fragment`id, campaign_id as "campaignId", company_id as "companyId", kind, summary, findings,
  sources, generation, version,
  ${utc(sql.fragment`created_at`)} as "createdAt", ${utc(sql.fragment`updated_at`)} as "updatedAt"`;

/** One page of findings, of one campaign, one company or all. @throws NotFound for an unknown campaign */
export async function listResearch(
  deps: { db: Db },
  tenantId: string,
  query: ResearchQuery,
): Promise<Page<Research>> {
  const { campaignId, companyId, kind, ...page } = query;
  const scope = scopeOf(
    tenantId,
    campaignId === undefined ? undefined : ofCampaign(tenantId, campaignId),
    companyId === undefined ? undefined : ofCompany(tenantId, companyId),
  );
  const ofKind = kind === undefined ? sql.empty : sql.fragment`and kind = ${kind}`;
  const research = await readPage('research', { campaignId, companyId, kind }, page, (keyset) =>
    deps.db.query<Research>(sql('research.page')`
      select ${columns} from company_research
      where ${scope} ${ofKind} ${keyset.after}
      ${keyset.orderAndLimit}`),
  );
  if (research.data.length === 0 && campaignId !== undefined) await checkCampaign(deps, tenantId, campaignId);
  return research;
}

/** @throws NotFound */
export async function getResearch({ db }: { db: Db }, tenantId: string, id: string): Promise<Research> {
  const [research] = await db.query<Research>(sql('research.get')`
    select ${columns} from company_research where id = ${id} and user_id = ${tenantId}`);
  if (!research) throw new NotFound('research', id);
  return research;
}
