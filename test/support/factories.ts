import { randomBytes, randomUUID } from 'node:crypto';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';

async function idOf(db: Db, statement: Parameters<Db['query']>[0]): Promise<string> {
  const [row] = await db.query<{ id: string }>(statement);
  if (!row) throw new Error(`${statement.statement} returned no row`);
  return row.id;
}

export const aTenant = (db: Db): Promise<string> =>
  idOf(db, sql('test.tenant')`insert into auth.users (id) values (${randomUUID()}) returning id`);

export const aCampaign = (
  db: Db,
  tenantId: string,
  { name = 'A campaign', archived = false } = {},
): Promise<string> =>
  idOf(
    db,
    sql('test.campaign')`insert into campaigns (user_id, name, archived, archived_at)
      values (${tenantId}, ${name}, ${archived}, case when ${archived} then now() end) returning id`,
  );

/** @returns the ids of `count` companies, in the order of their domains */
export async function someCompanies(
  db: Db,
  tenantId: string,
  campaignId: string,
  count: number,
  { from = 1 } = {},
): Promise<string[]> {
  const rows = await db.query<{ id: string }>(sql('test.companies')`
    insert into companies (user_id, campaign_id, name, domain, natural_key)
    select ${tenantId}, ${campaignId}, 'Company ' || n, 'company-' || n || '.example', 'company-' || n || '.example'
    from generate_series(${from}::int, ${from + count - 1}::int) n returning id`);
  return rows.map((row) => row.id);
}

export interface ProviderOverrides {
  name?: string;
  url?: string;
  secret?: string;
  batchSize?: number;
  concurrency?: number | null;
  ratePerSecond?: number | null;
  timeoutMs?: number;
  leaseSeconds?: number;
  maxRetries?: number;
}

export async function aProvider(db: Db, tenantId: string, overrides: ProviderOverrides = {}) {
  const secret = overrides.secret ?? `whsec_${randomBytes(24).toString('base64')}`;
  const id = await idOf(
    db,
    sql('test.provider')`insert into research_providers
      (user_id, name, kind, url, secret, batch_size, concurrency, rate_per_second, timeout_ms, lease_seconds, max_retries)
      values (${tenantId}, ${overrides.name ?? 'a-provider'}, 'webhook', ${overrides.url ?? 'http://127.0.0.1:9/'}, ${secret},
        ${overrides.batchSize ?? 10}, ${overrides.concurrency ?? null}, ${overrides.ratePerSecond ?? null},
        ${overrides.timeoutMs ?? 2000}, ${overrides.leaseSeconds ?? 1200}, ${overrides.maxRetries ?? 3}) returning id`,
  );
  return { id, secret, name: overrides.name ?? 'a-provider' };
}

/** A tenant with a campaign of `companies` companies and a provider. */
export async function aWorld(
  db: Db,
  { companies = 5, ...provider }: ProviderOverrides & { companies?: number } = {},
) {
  const tenantId = await aTenant(db);
  const campaignId = await aCampaign(db, tenantId);
  const companyIds = await someCompanies(db, tenantId, campaignId, companies);
  return { tenantId, campaignId, companyIds, provider: await aProvider(db, tenantId, provider) };
}
