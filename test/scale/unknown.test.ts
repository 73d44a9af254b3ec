import type { Reads } from '../../bench/schema/explain.ts';
import { listCompanies } from '../../core/companies/list.ts';
import { listContacts } from '../../core/contacts/list.ts';
import { JobQuery } from '../../core/contract/batches.ts';
import { CompanyQuery } from '../../core/contract/companies.ts';
import { ContactQuery } from '../../core/contract/contacts.ts';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { enqueue } from '../../core/research/enqueue.ts';
import { failOverdue } from '../../core/research/overdue.ts';
import { listJobs } from '../../core/research/read/jobs.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aProvider, aTenant, aWorld, someCompanies } from '../support/factories.ts';
import { explaining, rowsOf } from '../support/reads.ts';

/**
 * A campaign that came after the statistics were made: of a large table that is how things are for days, because it is
 * analysed anew only once a tenth of it has changed. Autovacuum is off for these tables, so that it stays so here.
 */
const unknown = 20_000;

let db: TestDatabase;
let tenantId: string;
let campaignId: string;
let batchId: string;
let companyIds: string[];
beforeAll(async () => {
  db = await testDatabase();
  for (const table of ['companies', 'contacts', 'research_jobs', 'research_batches'])
    await db.query({
      statement: 't',
      text: `alter table ${table} set (autovacuum_enabled = off)`,
      values: [],
    });
  for (let n = 0; n < 200; n++) {
    const known = await aWorld(db, { companies: 20 });
    await db.query(sql('t')`insert into contacts (user_id, campaign_id, company_id, full_name, email)
      select ${known.tenantId}, ${known.campaignId}, id, 'P', id || '@known.example' from unnest(${known.companyIds}::uuid[]) id`);
    await db.query(sql('t')`
      with batch as (
        insert into research_batches (user_id, campaign_id, provider_id, kind)
        values (${known.tenantId}, ${known.campaignId}, ${known.provider.id}, 'company') returning id
      )
      insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind)
      select ${known.tenantId}, batch.id, c, ${known.campaignId}, ${known.provider.id}, 'company'
      from batch, unnest(${known.companyIds}::uuid[]) c`);
  }
  await db.query({ statement: 't', text: 'analyze', values: [] });

  tenantId = await aTenant(db);
  campaignId = await aCampaign(db, tenantId);
  companyIds = await someCompanies(db, tenantId, campaignId, unknown);
  const provider = await aProvider(db, tenantId);
  await db.query(sql('t')`insert into contacts (user_id, campaign_id, company_id, full_name, email)
    select ${tenantId}, ${campaignId}, id, 'P', n || '@unknown.example'
    from unnest(${companyIds}::uuid[]) with ordinality c (id, n) order by md5(id::text)`);
  // A provider that has had many batches, and one that is large.
  await db.query(sql(
    't',
  )`insert into research_batches (user_id, campaign_id, provider_id, kind, status, finished_at, sealed_at, expanded_at)
    select ${tenantId}, ${campaignId}, ${provider.id}, 'company', 'completed', now(), now(), now() from generate_series(1, 2000)`);
  const [batch] = await db.query<{ id: string }>(sql('t')`
    with batch as (
      insert into research_batches (user_id, campaign_id, provider_id, kind, deadline)
      values (${tenantId}, ${campaignId}, ${provider.id}, 'company', now() - interval '1 minute') returning id
    ), job as (
      insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind)
      select ${tenantId}, batch.id, c, ${campaignId}, ${provider.id}, 'company'
      from batch, unnest(${companyIds}::uuid[]) c order by md5(c::text)
    )
    select id from batch`);
  batchId = batch?.id ?? '';
}, 120_000);
afterAll(() => db.close());

const asApi = (reads: Map<string, Reads[]>) => explaining(db.asApi.forTenant(tenantId), reads);

test.each([
  [
    'jobs of a batch',
    'page.jobs',
    (deps: { db: Db }) => listJobs(deps, tenantId, JobQuery.parse({ batchId, limit: 500 })),
  ],
  [
    'companies of a tenant, by change',
    'page.companies',
    (deps: { db: Db }) => listCompanies(deps, tenantId, CompanyQuery.parse({ sort: 'updated', limit: 500 })),
  ],
  [
    'contacts of a campaign',
    'page.contacts',
    (deps: { db: Db }) => listContacts(deps, tenantId, ContactQuery.parse({ campaignId, limit: 500 })),
  ],
])('a page of %s reads a page', async (_of, name, list) => {
  const reads = new Map<string, Reads[]>();
  const page = await list({ db: asApi(reads) });
  expect(page.data).toHaveLength(500);
  expect(rowsOf(reads, name)).toBeLessThan(1_500);
});

test('companies are dispatched without a look at all batches of their provider', async () => {
  const reads = new Map<string, Reads[]>();
  await enqueue(asApi(reads), tenantId, campaignId, {
    provider: 'a-provider',
    kind: 'company',
    companyIds: companyIds.slice(0, 200),
    final: true,
    priority: 0,
    dryRun: false,
  });
  const [jobs] = reads.get('enqueue.jobs') ?? [];
  // 200 batches and 200 companies for the policy, and little else.
  expect(jobs?.rows).toBeLessThan(2_000);
});

test('a chunk of a batch past its deadline does not read what is left of it', async () => {
  const reads = new Map<string, Reads[]>();
  await failOverdue(explaining(db.asWorker, reads));
  expect(rowsOf(reads, 'sweep.overdue')).toBeLessThan(6_000);
});
