import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { aCampaign, someCompanies } from './factories.ts';

const tables = {
  companies: sql.fragment`companies`,
  contacts: sql.fragment`contacts`,
  company_research: sql.fragment`company_research`,
  prospect_research: sql.fragment`prospect_research`,
  research_batches: sql.fragment`research_batches`,
  research_jobs: sql.fragment`research_jobs`,
};

/** A campaign in which each company has 3 contacts, one finding with a prospect, and an open job with 2 attempts. */
export async function aFullCampaign(db: Db, tenantId: string, providerId: string, companies: number) {
  const campaignId = await aCampaign(db, tenantId);
  await someCompanies(db, tenantId, campaignId, companies);
  const owner = sql.fragment`${tenantId}, ${campaignId}`;
  const each = sql.fragment`from companies c where c.campaign_id = ${campaignId}`;
  await db.query(sql('t')`insert into contacts (user_id, campaign_id, company_id)
    select ${owner}, c.id from companies c, generate_series(1, 3) where c.campaign_id = ${campaignId}`);
  await db.query(sql('t')`insert into company_research (user_id, campaign_id, company_id, kind)
    select ${owner}, c.id, 'company' ${each}`);
  await db.query(sql('t')`
    insert into prospect_research (user_id, campaign_id, company_id, company_research_id, natural_key)
    select user_id, campaign_id, company_id, id, 'x' from company_research where campaign_id = ${campaignId}`);
  await db.query(sql('t')`insert into research_batches (user_id, campaign_id, provider_id, kind)
    select ${owner}, ${providerId}, 'company' from generate_series(1, 2)`);
  await db.query(sql('t')`
    insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind)
    select ${tenantId}, b.id, c.id, ${campaignId}, ${providerId}, 'company'
    from (select id from research_batches where campaign_id = ${campaignId} order by id limit 1) b, companies c
    where c.campaign_id = ${campaignId}`);
  await db.query(sql('t')`insert into research_attempts (id, user_id, job_id, provider_id, ask_id)
    select gen_random_uuid(), j.user_id, j.id, j.provider_id, gen_random_uuid()
    from research_jobs j, generate_series(1, 2) where j.campaign_id = ${campaignId}`);
  return campaignId;
}

/** @returns how many rows of each table belong to a campaign, and the attempts of the whole database */
export async function rowsOf(db: Db, campaignId: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const [name, table] of Object.entries(tables)) {
    const [row] = await db.query<{ count: number }>(sql('t')`
      select count(*) from ${table} where campaign_id = ${campaignId}`);
    counts[name] = row?.count ?? 0;
  }
  const [attempts] = await db.query<{ count: number }>(sql('t')`select count(*) from research_attempts`);
  return { ...counts, research_attempts: attempts?.count ?? 0 };
}

export const sum = (counts: Record<string, number>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);
