import { checkCampaign } from '../../campaigns/get.ts';
import type { Page } from '../../contract/page.ts';
import type { Prospect, ProspectQuery } from '../../contract/research.ts';
import { check, since } from '../../db/checks.ts';
import type { Db } from '../../db/connect.ts';
import { columnsOf, type ListShape, readPage } from '../../db/keyset.ts';
import { checkParent, ofCampaign, ofResearch, scopeOf, whole } from '../../db/scope.ts';
import { created, updated, utc } from '../../db/sorts.ts';
import { sql } from '../../db/sql.ts';
import { NotFound } from '../../errors.ts';

/** A row of `prospect_research` as the API writes a Prospect. */
export const fields = {
  id: sql.fragment`id`,
  campaignId: sql.fragment`campaign_id`,
  companyId: sql.fragment`company_id`,
  researchId: sql.fragment`company_research_id`,
  fullName: sql.fragment`full_name`,
  email: sql.fragment`email`,
  title: sql.fragment`title`,
  phone: sql.fragment`phone`,
  linkedin: sql.fragment`linkedin`,
  attributes: sql.fragment`attributes`,
  createdAt: utc(sql.fragment`created_at`),
  updatedAt: utc(sql.fragment`updated_at`),
};

const shape: ListShape = {
  name: 'prospects',
  table: sql.fragment`prospect_research`,
  columns: fields,
  large: ['fullName', 'email', 'title', 'phone', 'linkedin', 'attributes'],
  sorts: { created, updated },
};

/** One page of people found, of one campaign, one research or all. @throws NotFound for an unknown campaign */
export async function listProspects(
  deps: { db: Db },
  tenantId: string,
  query: ProspectQuery,
): Promise<Page<Prospect>> {
  const { limit, cursor, order, sort, fields, follow, ...filter } = query;
  const { campaignId, researchId, hasEmail, updatedSince } = filter;
  const page = { limit, cursor, order, sort, fields, follow };
  const changed = since(page, updatedSince);
  const within = scopeOf(
    tenantId,
    campaignId === undefined ? undefined : ofCampaign(tenantId, campaignId),
    researchId === undefined ? undefined : ofResearch(tenantId, researchId),
  );
  const prospects = await readPage<Prospect>(deps.db, shape, page, {
    filter,
    scope: sql.fragment`${within} ${changed.range}`,
    checks: [
      ...changed.checks,
      ...check(hasEmail, (has) => sql.fragment`(email is not null) = ${has === 'true'}`),
    ],
  });
  if (prospects.next === null && campaignId !== undefined) await checkCampaign(deps, tenantId, campaignId);
  if (prospects.next === null && researchId !== undefined)
    await checkParent(deps.db, tenantId, 'research', researchId);
  return prospects;
}

/** @throws NotFound, and Conflict `campaign_archived` while it is on its way into an archive or back */
export async function getProspect({ db }: { db: Db }, tenantId: string, id: string): Promise<Prospect> {
  const [prospect] = await db.query<Prospect>(sql('prospects.get')`
    select ${columnsOf(shape)} from prospect_research where id = ${id} and ${whole(tenantId)}`);
  if (!prospect) throw new NotFound('prospect', id);
  return prospect;
}
