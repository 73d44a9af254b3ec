import { randomUUID } from 'node:crypto';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';

interface Place {
  tenantId: string;
  campaignId: string;
}

async function idOf(db: Db, statement: Parameters<Db['query']>[0]): Promise<string> {
  const [row] = await db.query<{ id: string }>(statement);
  if (!row) throw new Error(`${statement.statement} returned no row`);
  return row.id;
}

export const aContact = (
  db: Db,
  { tenantId, campaignId }: Place,
  {
    fullName = '',
    email = null,
    title = null,
  }: { fullName?: string; email?: string | null; title?: string | null },
): Promise<string> =>
  idOf(
    db,
    sql('test.contact')`insert into contacts (user_id, campaign_id, full_name, email, title)
      values (${tenantId}, ${campaignId}, ${fullName}, ${email}, ${title}) returning id`,
  );

export const aCompany = (
  db: Db,
  { tenantId, campaignId }: Place,
  { name = 'A company', domain = `${randomUUID().slice(0, 8)}.invalid` }: { name?: string; domain?: string },
): Promise<string> =>
  idOf(
    db,
    sql('test.company')`insert into companies (user_id, campaign_id, name, domain, natural_key)
      values (${tenantId}, ${campaignId}, ${name}, ${domain}, ${domain}) returning id`,
  );

export const aResearch = (
  db: Db,
  { tenantId, campaignId, companyId }: Place & { companyId: string },
): Promise<string> =>
  idOf(
    db,
    sql('test.research')`insert into company_research (user_id, campaign_id, company_id, kind)
      values (${tenantId}, ${campaignId}, ${companyId}, 'company') returning id`,
  );
