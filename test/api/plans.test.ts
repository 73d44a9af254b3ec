import { listCampaigns } from '../../core/campaigns/list.ts';
import { listCompanies } from '../../core/companies/list.ts';
import { listContacts } from '../../core/contacts/list.ts';
import { BatchQuery, JobQuery } from '../../core/contract/batches.ts';
import { CampaignQuery } from '../../core/contract/campaigns.ts';
import { CompanyQuery } from '../../core/contract/companies.ts';
import { ContactQuery } from '../../core/contract/contacts.ts';
import { ProspectQuery, ResearchQuery } from '../../core/contract/research.ts';
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

type Page = { next: string | null };
type List = (deps: { db: Db }, query: Record<string, unknown>) => Promise<Page>;

/** Every page statement that `list` runs, as the role and the tenant of the API, planned instead of only run. */
async function plansOf(list: List, sort: string) {
  const plans: Plan[][] = [];
  const bound = db.asApi.forTenant(tenantId);
  const explaining: Db = {
    async query<Row>(statement: Statement) {
      if (statement.statement.startsWith('page.')) {
        const text = `explain (format json) ${statement.text}`;
        const [row] = await bound.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>({ ...statement, text });
        if (row) plans.push(nodes(row['QUERY PLAN'][0].Plan));
      }
      return bound.query<Row>(statement);
    },
    transaction: (work) => bound.transaction(work),
  };
  for (const order of ['asc', 'desc']) {
    const query = { limit: 50, order, ...(sort === 'company' ? {} : { sort }) };
    const first = await list({ db: explaining }, query);
    if (first.next) await list({ db: explaining }, { ...query, cursor: first.next });
  }
  return plans;
}

const campaigns =
  (filter: object): List =>
  (d, q) =>
    listCampaigns(d, tenantId, CampaignQuery.parse({ ...q, ...filter }));
const companies =
  (filter: () => object = () => ({})): List =>
  (d, q) =>
    listCompanies(d, tenantId, CompanyQuery.parse({ ...q, ...filter() }));
const contacts =
  (filter: () => object = () => ({})): List =>
  (d, q) =>
    listContacts(d, tenantId, ContactQuery.parse({ ...q, ...filter() }));
const batches =
  (filter: () => object = () => ({})): List =>
  (d, q) =>
    listBatches(d, tenantId, BatchQuery.parse({ ...q, ...filter() }));
const jobs =
  (filter: () => object): List =>
  (d, q) =>
    listJobs(d, tenantId, JobQuery.parse({ ...q, ...filter() }));
const research =
  (filter: () => object = () => ({})): List =>
  (d, q) =>
    listResearch(d, tenantId, ResearchQuery.parse({ ...q, ...filter() }));
const prospects =
  (filter: () => object = () => ({})): List =>
  (d, q) =>
    listProspects(d, tenantId, ProspectQuery.parse({ ...q, ...filter() }));

/** The index that each sort of each list reads in order. */
const lists: [string, List, Record<string, string>][] = [
  [
    'active campaigns',
    campaigns({}),
    { created: 'campaigns_active', updated: 'campaigns_active_updated', name: 'campaigns_active_name' },
  ],
  [
    'campaigns, archived too',
    campaigns({ archived: 'any' }),
    { created: 'campaigns_page', updated: 'campaigns_all_updated', name: 'campaigns_all_name' },
  ],
  ['archived campaigns', campaigns({ archived: 'true' }), { created: 'campaigns_page' }],
  [
    'companies of a campaign',
    companies(() => ({ campaignId })),
    {
      created: 'companies_campaign_page',
      updated: 'companies_campaign_updated',
      name: 'companies_campaign_name',
    },
  ],
  [
    'companies of a tenant',
    companies(),
    { created: 'companies_tenant_page', updated: 'companies_tenant_updated', name: 'companies_tenant_name' },
  ],
  [
    'companies of a campaign with an attribute',
    companies(() => ({ campaignId, attribute: 'segment:smb' })),
    { created: 'companies_campaign_page', name: 'companies_campaign_name' },
  ],
  [
    'contacts of a campaign',
    contacts(() => ({ campaignId })),
    {
      created: 'contacts_campaign_page',
      updated: 'contacts_campaign_updated',
      name: 'contacts_campaign_name',
      email: 'contacts_campaign_email',
    },
  ],
  [
    'contacts of a company',
    contacts(() => ({ companyId })),
    {
      created: 'contacts_company_page',
      updated: 'contacts_company_updated',
      name: 'contacts_company_name',
      email: 'contacts_company_email',
    },
  ],
  [
    'contacts of a tenant',
    contacts(),
    {
      created: 'contacts_tenant_page',
      updated: 'contacts_tenant_updated',
      name: 'contacts_tenant_name',
      email: 'contacts_tenant_email',
    },
  ],
  [
    'contacts of a campaign with an email and a title',
    contacts(() => ({ campaignId, hasEmail: 'true', titlePrefix: 'head' })),
    {
      created: 'contacts_campaign_page',
      updated: 'contacts_campaign_updated',
      name: 'contacts_campaign_name',
      email: 'contacts_campaign_email',
    },
  ],
  [
    'contacts of a tenant changed since',
    contacts(() => ({ updatedSince: '2020-01-01T00:00:00Z' })),
    { created: 'contacts_tenant_page', updated: 'contacts_tenant_updated' },
  ],
  ['batches of a campaign', batches(() => ({ campaignId })), { created: 'research_batches_campaign_page' }],
  ['batches of a tenant', batches(), { created: 'research_batches_tenant_page' }],
  [
    'open batches of a tenant',
    batches(() => ({ status: 'open' })),
    { created: 'research_batches_tenant_page' },
  ],
  ['jobs of a batch', jobs(() => ({ batchId })), { company: 'research_jobs_batch_company' }],
  [
    'queued jobs of a batch',
    jobs(() => ({ batchId, status: 'queued' })),
    { company: 'research_jobs_batch_status' },
  ],
  [
    'research of a campaign',
    research(() => ({ campaignId })),
    { created: 'company_research_campaign_page', updated: 'company_research_campaign_updated' },
  ],
  [
    'research of a company',
    research(() => ({ companyId })),
    { created: 'company_research_company_page', updated: 'company_research_company_updated' },
  ],
  [
    'research of a tenant',
    research(),
    { created: 'company_research_tenant_page', updated: 'company_research_tenant_updated' },
  ],
  [
    'prospects of a campaign',
    prospects(() => ({ campaignId })),
    { created: 'prospect_research_campaign_page', updated: 'prospect_research_campaign_updated' },
  ],
  [
    'prospects of a research',
    prospects(() => ({ researchId })),
    { created: 'prospect_research_research_page', updated: 'prospect_research_research_updated' },
  ],
  [
    'prospects of a tenant',
    prospects(),
    { created: 'prospect_research_tenant_page', updated: 'prospect_research_tenant_updated' },
  ],
];
const pages = lists.flatMap(([what, list, indexes]) =>
  Object.entries(indexes).map(([sort, index]) => [what, sort, index, list] as const),
);

test.each(pages)(
  'a page of %s by %s reads %s in order: no sequential scan and no sort',
  async (_, sort, index, list) => {
    const plans = await plansOf(list, sort);
    expect(plans.length).toBeGreaterThanOrEqual(2);
    for (const plan of plans) {
      expect(plan.map((node) => node['Index Name'])).toContain(index);
      const types = plan.map((node) => node['Node Type']);
      expect(types).not.toContain('Seq Scan');
      expect(types).not.toContain('Sort');
      expect(types).not.toContain('Incremental Sort');
    }
  },
);
