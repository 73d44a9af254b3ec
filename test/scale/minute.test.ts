import type { Reads } from '../../bench/schema/explain.ts';
import { sql } from '../../core/db/sql.ts';
import { claim } from '../../core/research/claim.ts';
import { unfeedLost } from '../../core/research/leases.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';
import { explaining, rowsOf } from '../support/reads.ts';

/**
 * What happens every minute, or for each message, reads what it is about and not what else there is. Autovacuum is off
 * for these tables, so that statistics are as old here as they are on a table that is large and quiet.
 */
let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
  for (const table of ['research_jobs', 'research_providers'])
    await db.query({
      statement: 't',
      text: `alter table ${table} set (autovacuum_enabled = off)`,
      values: [],
    });
});
afterAll(() => db.close());

const analyze = () => db.query({ statement: 't', text: 'analyze', values: [] });

/** A batch with a job for each company. */
async function aBatch({ companies }: { companies: number }) {
  const world = await aWorld(db, { companies });
  const rows = await db.query<{ id: string; batch_id: string }>(sql('t')`
    with batch as (
      insert into research_batches (user_id, campaign_id, provider_id, kind, sealed_at, expanded_at)
      values (${world.tenantId}, ${world.campaignId}, ${world.provider.id}, 'company', now(), now()) returning id
    )
    insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind)
    select ${world.tenantId}, batch.id, c, ${world.campaignId}, ${world.provider.id}, 'company'
    from batch, unnest(${world.companyIds}::uuid[]) c returning id, batch_id`);
  return { ...world, batchId: rows[0]?.batch_id ?? '', jobIds: rows.map((row) => row.id) };
}

test('a look for jobs lost on the conveyor reads none that is not, though statistics saw all of them there', async () => {
  const { batchId, jobIds } = await aBatch({ companies: 20_000 });
  const feed = (until: string | null) =>
    db.query(
      sql('t')`update research_jobs set fed_until = now() + ${until}::interval where batch_id = ${batchId}`,
    );
  await feed('-1 minute');
  await analyze();
  await feed(null);
  await db.query(
    sql(
      't',
    )`update research_jobs set fed_until = now() + interval '10 minutes' where id = any(${jobIds.slice(0, 500)}::uuid[])`,
  );
  await db.query(
    sql(
      't',
    )`update research_jobs set fed_until = now() - interval '1 second' where id = any(${jobIds.slice(500, 503)}::uuid[])`,
  );

  const reads = new Map<string, Reads[]>();
  expect(await unfeedLost(explaining(db.asWorker, reads))).toBe(3);
  // Those three, once to find them and once to write them.
  expect(rowsOf(reads, 'sweep.unfeed')).toBeLessThan(20);
});

test('a claim looks at the provider of its jobs and not at those of everybody', async () => {
  const { jobIds } = await aBatch({ companies: 1_000 });
  const others = await aBatch({ companies: 10_000 });
  await db.query(sql('t')`
    with provider as (
      insert into research_providers (user_id, name, kind, url, secret)
      select ${others.tenantId}, 'p' || n, 'webhook', 'http://127.0.0.1:9/', 'whsec_' || n from generate_series(1, 10000) n
      returning id
    )
    update research_jobs j set provider_id = p.id
    from (select id, row_number() over () as place from provider) p
    join unnest(${others.jobIds}::uuid[]) with ordinality o (job_id, place) using (place)
    where j.id = o.job_id`);
  await analyze();

  const reads = new Map<string, Reads[]>();
  await claim(explaining(db.asWorker, reads), jobIds, { leaseSeconds: 60 });
  expect(rowsOf(reads, 'claim.providers')).toBeLessThan(1_100);
});
