import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';

export const contactsWanted = 1_000_000;
export const tenantsWanted = 100;

/** The tenant that owns half of all contacts, in one campaign, and one that owns its share of the rest. */
export interface Million {
  large: { tenantId: string; campaignId: string };
  small: { tenantId: string; campaignId: string };
}

/**
 * A million contacts in 100 tenants: half of them in one campaign of one tenant. Names are two of a few hundred words,
 * one of them common; every 250,000th is rare. Loaded without the secondary indexes, which are made anew afterwards.
 */
export async function loadMillion(db: Db): Promise<Million> {
  const tenants = await db.query<{ tenant: string; campaign: string }>(sql('bench.tenants')`
    with tenant as (
      insert into auth.users (id) select uuidv7() from generate_series(1, ${tenantsWanted}::int) returning id
    )
    insert into campaigns (user_id, name) select id, 'A campaign' from tenant
    returning user_id as tenant, id as campaign`);
  // Free space that deleted rows left would scatter the new ones.
  await run(db, 'truncate contacts');
  const [large, small] = tenants;
  if (!large || !small) throw new Error('no tenants were made');
  const others = tenants.slice(1);

  await withoutSecondaryIndexes(db, 'contacts', () =>
    db.query(sql('bench.million')`
      insert into contacts (user_id, campaign_id, full_name, email, title, created_at, updated_at)
      select
        case when n % 2 = 0 then ${large.tenant}::uuid else (${others.map((row) => row.tenant)}::uuid[])[1 + n / 2 % ${others.length}::int] end,
        case when n % 2 = 0 then ${large.campaign}::uuid else (${others.map((row) => row.campaign)}::uuid[])[1 + n / 2 % ${others.length}::int] end,
        case when n % 250000 < 2 then 'Zbigniew Quartzhammer'
          when n % 10 < 2 then 'Anna ' || initcap(substr(md5((n % 7919)::text), 1, 7))
          else initcap(substr(md5((n % 997)::text), 1, 6)) || ' ' || initcap(substr(md5(n::text), 1, 8)) end,
        'person-' || n || '@' || substr(md5((n % 9973)::text), 1, 8) || '.example',
        (array['Chief Executive Officer', 'Head of Sales', 'Engineer', 'Buyer', 'Office Manager'])[1 + n % 5],
        now() - (n / 500) * interval '1 s', now() - (n / 300) * interval '1 s'
      from generate_series(1, ${contactsWanted}::int) n`),
  );
  return {
    large: { tenantId: large.tenant, campaignId: large.campaign },
    small: { tenantId: small.tenant, campaignId: small.campaign },
  };
}

/** Runs a load with the constraints' own indexes alone, then makes the others as they were, and the statistics. */
export async function withoutSecondaryIndexes(
  db: Db,
  table: string,
  load: () => Promise<unknown>,
): Promise<void> {
  const indexes = await db.query<{ name: string; definition: string }>(sql('bench.indexes')`
    select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition from pg_index i
    where i.indrelid = ${table}::regclass and not i.indisunique`);
  for (const { name } of indexes) await run(db, `drop index ${name}`);
  await load();
  for (const { definition } of indexes)
    await run(db, `set local maintenance_work_mem = '256MB'; ${definition}`);
  await run(db, `vacuum analyze ${table}`);
}

/** Statements that take no parameters. */
export function run(db: Db, text: string): Promise<unknown[]> {
  return db.query({ statement: 'bench.run', text, values: [] });
}
