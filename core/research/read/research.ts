import { checkCampaign } from '../../campaigns/get.ts';
import type { Page } from '../../contract/page.ts';
import type { Research, ResearchQuery } from '../../contract/research.ts';
import { check, since } from '../../db/checks.ts';
import type { Db } from '../../db/connect.ts';
import { columnsOf, type ListShape, readPage } from '../../db/keyset.ts';
import { checkParent, ofCampaign, ofCompany, scopeOf, whole } from '../../db/scope.ts';
import { created, updated, utc } from '../../db/sorts.ts';
import { sql } from '../../db/sql.ts';
import { NotFound } from '../../errors.ts';
import { searchPage } from '../../search/list.ts';

/** A row of `company_research` as the API writes a Research. */
export const fields = {
  id: sql.fragment`id`,
  campaignId: sql.fragment`campaign_id`,
  companyId: sql.fragment`company_id`,
  kind: sql.fragment`kind`,
  summary: sql.fragment`summary`,
  findings: sql.fragment`findings`,
  sources: sql.fragment`sources`,
  generation: sql.fragment`generation`,
  version: sql.fragment`version`,
  createdAt: utc(sql.fragment`created_at`),
  updatedAt: utc(sql.fragment`updated_at`),
};

const shape: ListShape = {
  name: 'research',
  table: sql.fragment`company_research`,
  columns: fields,
  large: ['summary', 'findings', 'sources'],
  sorts: { created, updated },
};

/** One page of findings, of one campaign, one company or all. @throws NotFound for an unknown campaign */
export async function listResearch(
  deps: { db: Db },
  tenantId: string,
  query: ResearchQuery,
): Promise<Page<Research>> {
  const { search, limit, cursor, order, sort, fields, follow, ...filter } = query;
  const { campaignId, companyId, kind, updatedSince } = filter;
  const page = { limit, cursor, order, sort, fields, follow };
  const changed = since(page, updatedSince);
  const within = scopeOf(
    tenantId,
    campaignId === undefined ? undefined : ofCampaign(tenantId, campaignId),
    companyId === undefined ? undefined : ofCompany(tenantId, companyId),
  );
  const research =
    search === undefined
      ? await readPage<Research>(deps.db, shape, page, {
          filter,
          scope: sql.fragment`${within} ${changed.range}`,
          checks: [...changed.checks, ...check(kind, (of) => sql.fragment`kind = ${of}`)],
        })
      : await searchPage<Research>(deps.db, tenantId, 'research', shape, search, page, filter);
  if (research.next === null && campaignId !== undefined) await checkCampaign(deps, tenantId, campaignId);
  if (research.next === null && companyId !== undefined)
    await checkParent(deps.db, tenantId, 'company', companyId);
  return research;
}

/** @throws NotFound, and Conflict `campaign_archived` while it is on its way into an archive or back */
export async function getResearch({ db }: { db: Db }, tenantId: string, id: string): Promise<Research> {
  const [research] = await db.query<Research>(sql('research.get')`
    select ${columnsOf(shape)} from company_research where id = ${id} and ${whole(tenantId)}`);
  if (!research) throw new NotFound('research', id);
  return research;
}
