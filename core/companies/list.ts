import { checkCampaign } from '../campaigns/get.ts';
import type { Company, CompanyQuery } from '../contract/companies.ts';
import type { Page } from '../contract/page.ts';
import type { Db } from '../db/connect.ts';
import { readPage } from '../db/keyset.ts';
import { ofCampaign, scopeOf } from '../db/scope.ts';
import { sql } from '../db/sql.ts';
import { NotFound } from '../errors.ts';
import { columns } from './columns.ts';

/** One page of companies, of one campaign or of all. @throws NotFound for a campaign that does not exist */
export async function listCompanies(
  deps: { db: Db },
  tenantId: string,
  query: CompanyQuery,
): Promise<Page<Company>> {
  const { campaignId, ...page } = query;
  const scope = scopeOf(tenantId, campaignId === undefined ? undefined : ofCampaign(tenantId, campaignId));
  const companies = await readPage('companies', { campaignId }, page, (keyset) =>
    deps.db.query<Company>(sql('companies.page')`
      select ${columns} from companies
      where ${scope} ${keyset.after}
      ${keyset.orderAndLimit}`),
  );
  if (companies.data.length === 0 && campaignId !== undefined)
    await checkCampaign(deps, tenantId, campaignId);
  return companies;
}

/** @throws NotFound */
export async function getCompany({ db }: { db: Db }, tenantId: string, id: string): Promise<Company> {
  const [company] = await db.query<Company>(sql('companies.get')`
    select ${columns} from companies where id = ${id} and user_id = ${tenantId}`);
  if (!company) throw new NotFound('company', id);
  return company;
}
