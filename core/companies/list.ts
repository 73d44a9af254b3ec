import { checkCampaign } from '../campaigns/get.ts';
import type { Company, CompanyQuery } from '../contract/companies.ts';
import type { Page } from '../contract/page.ts';
import { attributeIs, check, since } from '../db/checks.ts';
import type { Db } from '../db/connect.ts';
import { type ListShape, readPage } from '../db/keyset.ts';
import { ofCampaign, scopeOf, whole } from '../db/scope.ts';
import { created, name, updated } from '../db/sorts.ts';
import { sql } from '../db/sql.ts';
import { NotFound } from '../errors.ts';
import { searchPage } from '../search/list.ts';
import { columns, fields } from './columns.ts';

const shape: ListShape = {
  name: 'companies',
  table: sql.fragment`companies`,
  columns: fields,
  sorts: { created, updated, name },
};

/** One page of companies, of one campaign or of all. @throws NotFound for a campaign that does not exist */
export async function listCompanies(
  deps: { db: Db },
  tenantId: string,
  query: CompanyQuery,
): Promise<Page<Company>> {
  const { search, limit, cursor, order, sort, fields, follow, ...filter } = query;
  const { campaignId, hasDomain, updatedSince, attribute } = filter;
  const page = { limit, cursor, order, sort, fields, follow };
  const changed = since(page, updatedSince);
  const within = scopeOf(tenantId, campaignId === undefined ? undefined : ofCampaign(tenantId, campaignId));
  const companies =
    search === undefined
      ? await readPage<Company>(deps.db, shape, page, {
          filter,
          scope: sql.fragment`${within} ${changed.range}`,
          checks: [
            ...changed.checks,
            ...check(hasDomain, (has) => sql.fragment`(domain is not null) = ${has === 'true'}`),
            ...check(attribute, attributeIs),
          ],
        })
      : await searchPage<Company>(deps.db, tenantId, 'companies', shape, search, page, filter);
  if (companies.next === null && campaignId !== undefined) await checkCampaign(deps, tenantId, campaignId);
  return companies;
}

/** @throws NotFound, and Conflict `campaign_archived` while it is on its way into an archive or back */
export async function getCompany({ db }: { db: Db }, tenantId: string, id: string): Promise<Company> {
  const [company] = await db.query<Company>(sql('companies.get')`
    select ${columns} from companies where id = ${id} and ${whole(tenantId)}`);
  if (!company) throw new NotFound('company', id);
  return company;
}
