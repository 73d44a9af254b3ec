import { listCampaigns } from '../../core/campaigns/list.ts';
import { listCompanies } from '../../core/companies/list.ts';
import { listContacts } from '../../core/contacts/list.ts';
import type { PageRequest } from '../../core/contract/page.ts';
import type { Db } from '../../core/db/connect.ts';
import { type Statement, sql } from '../../core/db/sql.ts';
import { listBatches } from '../../core/research/read/batches.ts';
import { listJobs } from '../../core/research/read/jobs.ts';
import { listProspects } from '../../core/research/read/prospects.ts';
import { listResearch } from '../../core/research/read/research.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aProvider, aWorld, someCompanies } from '../support/factories.ts';

let db: TestDatabase;
let tenantId: string;
let campaignId: string;
let companyId: string;
let researchId: string;
let batchId: string;

/** Two tenants with enough rows in every table that an index is worth it. */
async function fill() {
  const world = await aWorld(db, { companies: 0 });
  const stranger = await aWorld(db, { companies: 0 });
  for (const one of [stranger, world]) {
    tenantId = one.tenantId;
    campaignId = one.campaignId;
    const ids = await someCompanies(db, tenantId, campaignId, 5000);
    companyId = ids[0] ?? '';
    await db.query(sql('t')`insert into contacts (user_id, campaign_id, company_id, full_name, created_at)
      select ${tenantId}, ${campaignId}, c.id, 'P', now() - n * interval '1 second'
      from unnest(${ids}::uuid[]) with ordinality c (id, n)`);
    await db.query(sql('t')`insert into campaigns (user_id, name, archived, archived_at, created_at)
      select ${tenantId}, 'C', n > 2000, case when n > 2000 then now() end, now() - n * interval '1 second'
      from generate_series(1, 8000) n`);
    for (let n = 0; n < 3; n++) await aProvider(db, tenantId, { name: `p${n}` });
    const batches = await db.query<{ id: string }>(sql('t')`
      insert into research_batches (user_id, campaign_id, provider_id, kind, created_at)
      select ${tenantId}, ${campaignId}, ${one.provider.id}, 'company', now() - n * interval '1 second'
      from generate_series(1, 2000) n returning id`);
    batchId = batches[0]?.id ?? '';
    // A campaign of ten batches: every company has a job in each.
    await db.query(sql('t')`
      insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind, status, finished_at)
      select ${tenantId}, b, c, ${campaignId}, ${one.provider.id}, 'company', status, finished_at
      from unnest(${batches.slice(0, 10).map((row) => row.id)}::uuid[]) b, unnest(${ids}::uuid[]) with ordinality c (c, n),
        lateral (select case when n % 10 = 0 then 'queued' else 'completed' end as status,
          case when n % 10 > 0 then now() end as finished_at) state`);
    const research = await db.query<{ id: string }>(sql('t')`
      insert into company_research (user_id, campaign_id, company_id, kind)
      select ${tenantId}, ${campaignId}, c, 'company' from unnest(${ids}::uuid[]) c returning id`);
    researchId = research[0]?.id ?? '';
    await db.query(sql(
      't',
    )`insert into prospect_research (user_id, campaign_id, company_id, company_research_id, natural_key)
      select ${tenantId}, ${campaignId}, ${companyId}, r, 'x' from unnest(${research.map((row) => row.id)}::uuid[]) r`);
  }
  // What the statements of a busy minute leave before they are folded.
  await db.query(sql('t')`insert into campaign_count_deltas (user_id, campaign_id, contacts)
    select user_id, id, 1 from campaigns`);
  await db.query({ statement: 'analyze', text: 'analyze', values: [] });
}

beforeAll(async () => {
  db = await testDatabase();
  await fill();
}, 60_000);
afterAll(() => db.close());

interface Plan {
  'Node Type': string;
  'Index Name'?: string;
  Plans?: Plan[];
}
const nodes = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodes)];

/** Every page statement that `list` runs, planned instead of only run. */
async function plansOf(list: (deps: { db: Db }, page: PageRequest) => Promise<{ next: string | null }>) {
  const plans: Plan[][] = [];
  const explaining: Db = {
    async query<Row>(statement: Statement) {
      if (statement.statement.endsWith('.page')) {
        const text = `explain (format json) ${statement.text}`;
        const [row] = await db.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>({ ...statement, text });
        if (row) plans.push(nodes(row['QUERY PLAN'][0].Plan));
      }
      return db.query<Row>(statement);
    },
    transaction: (work) => db.transaction(work),
  };
  for (const order of ['asc', 'desc'] as const) {
    const first = await list({ db: explaining }, { limit: 50, order });
    if (first.next) await list({ db: explaining }, { limit: 50, order, cursor: first.next });
  }
  return plans;
}

type List = Parameters<typeof plansOf>[0];
const lists: [string, string, List][] = [
  ['campaigns', 'campaigns_active', (d, p) => listCampaigns(d, tenantId, { ...p, archived: 'false' })],
  [
    'campaigns, archived too',
    'campaigns_page',
    (d, p) => listCampaigns(d, tenantId, { ...p, archived: 'any' }),
  ],
  [
    'companies of a campaign',
    'companies_campaign_page',
    (d, p) => listCompanies(d, tenantId, { ...p, campaignId }),
  ],
  ['companies of a tenant', 'companies_tenant_page', (d, p) => listCompanies(d, tenantId, p)],
  [
    'contacts of a campaign',
    'contacts_campaign_page',
    (d, p) => listContacts(d, tenantId, { ...p, campaignId }),
  ],
  [
    'contacts of a company',
    'contacts_company_page',
    (d, p) => listContacts(d, tenantId, { ...p, companyId }),
  ],
  ['contacts of a tenant', 'contacts_tenant_page', (d, p) => listContacts(d, tenantId, p)],
  [
    'batches of a campaign',
    'research_batches_campaign_page',
    (d, p) => listBatches(d, tenantId, { ...p, campaignId }),
  ],
  ['batches of a tenant', 'research_batches_tenant_page', (d, p) => listBatches(d, tenantId, p)],
  ['jobs of a batch', 'research_jobs_batch_company', (d, p) => listJobs(d, tenantId, { ...p, batchId })],
  [
    'queued jobs of a batch',
    'research_jobs_batch_status',
    (d, p) => listJobs(d, tenantId, { ...p, batchId, status: 'queued' }),
  ],
  [
    'research of a campaign',
    'company_research_campaign_page',
    (d, p) => listResearch(d, tenantId, { ...p, campaignId }),
  ],
  [
    'research of a company',
    'company_research_company_page',
    (d, p) => listResearch(d, tenantId, { ...p, companyId }),
  ],
  ['research of a tenant', 'company_research_tenant_page', (d, p) => listResearch(d, tenantId, p)],
  [
    'prospects of a campaign',
    'prospect_research_campaign_page',
    (d, p) => listProspects(d, tenantId, { ...p, campaignId }),
  ],
  [
    'prospects of a research',
    'prospect_research_research_page',
    (d, p) => listProspects(d, tenantId, { ...p, researchId }),
  ],
  ['prospects of a tenant', 'prospect_research_tenant_page', (d, p) => listProspects(d, tenantId, p)],
];

test.each(lists)('a page of %s reads %s in order: no sequential scan and no sort', async (_, index, list) => {
  const plans = await plansOf(list);
  expect(plans.length).toBeGreaterThanOrEqual(2);
  for (const plan of plans) {
    expect(plan.map((node) => node['Index Name'])).toContain(index);
    const types = plan.map((node) => node['Node Type']);
    expect(types).not.toContain('Seq Scan');
    expect(types).not.toContain('Sort');
    expect(types).not.toContain('Incremental Sort');
  }
});
