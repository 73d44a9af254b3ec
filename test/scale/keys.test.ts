import type { Reads } from '../../bench/schema/explain.ts';
import { upsertCompanies } from '../../core/companies/upsert.ts';
import { upsertContacts } from '../../core/contacts/upsert.ts';
import { CompanyBulk } from '../../core/contract/companies.ts';
import { ContactBulk } from '../../core/contract/contacts.ts';
import { sql } from '../../core/db/sql.ts';
import { enqueue } from '../../core/research/enqueue.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aProvider, aTenant, aWorld, someCompanies } from '../support/factories.ts';
import { explaining } from '../support/reads.ts';

/** A thousand keys are looked up in a campaign, and what else it holds is not read, whatever the statistics say of it. */
const companies = 20_000;
const keys = 500;

describe.each(['there are none', 'they know small campaigns alone', 'they are fresh'])(
  'of statistics: %s',
  (statistics) => {
    let db: TestDatabase;
    let tenantId: string;
    let campaignId: string;
    beforeAll(async () => {
      db = await testDatabase();
      for (const table of ['companies', 'contacts'])
        await db.query({
          statement: 't',
          text: `alter table ${table} set (autovacuum_enabled = off)`,
          values: [],
        });
      const analyze = () => db.query({ statement: 't', text: 'analyze companies, contacts', values: [] });
      const known = await aWorld(db, { companies: 0 });
      await db.query(sql('t')`
        with campaign as (
          insert into campaigns (user_id, name) select ${known.tenantId}, 'small' from generate_series(1, 3000) returning id
        ), company as (
          insert into companies (user_id, campaign_id, name, domain, natural_key)
          select ${known.tenantId}, id, 'C', 'known.example', 'known.example' from campaign
        )
        insert into contacts (user_id, campaign_id, full_name, email)
        select ${known.tenantId}, id, 'P', 'p@known.example' from campaign`);
      if (statistics !== 'there are none') await analyze();
      tenantId = await aTenant(db);
      campaignId = await aCampaign(db, tenantId);
      const ids = await someCompanies(db, tenantId, campaignId, companies);
      await aProvider(db, tenantId);
      await db.query(sql('t')`
        insert into contacts (user_id, campaign_id, company_id, full_name, email)
        select ${tenantId}, ${campaignId}, id, 'P', 'p' || n || '@company-' || n || '.example'
        from unnest(${ids}::uuid[]) with ordinality c (id, n)`);
      if (statistics === 'they are fresh') await analyze();
    }, 60_000);
    afterAll(() => db.close());

    const some = Array.from({ length: keys }, (_, n) => n * 7 + 1);
    const explained = (name: string, reads: Map<string, Reads[]>): Reads => {
      const [seen] = reads.get(name) ?? [];
      if (!seen) throw new Error(`${name} was not sent, but ${[...reads.keys()].join()}`);
      return seen;
    };
    const asApi = (reads: Map<string, Reads[]>) => explaining(db.asApi.forTenant(tenantId), reads);

    test('companies that stay as they are', async () => {
      const reads = new Map<string, Reads[]>();
      const rows = some.map((n) => ({ name: `Company ${n}`, domain: `company-${n}.example` }));
      const reply = await upsertCompanies(
        { db: asApi(reads) },
        tenantId,
        CompanyBulk.parse({ campaignId, rows }),
      );
      expect(reply.counts.unchanged).toBe(keys);
      expect(explained('companies.unchanged', reads).rows).toBeLessThan(4 * keys);
    });

    test('contacts that stay as they are, with the domain or the id of their company', async () => {
      const reads = new Map<string, Reads[]>();
      const [company] = await db.query<{ id: string }>(sql('t')`
        select id from companies where campaign_id = ${campaignId} and natural_key = 'company-1.example'`);
      const rows = some.map((n) => ({
        email: `p${n}@company-${n}.example`,
        ...(n === 1 ? { companyId: company?.id } : { companyDomain: `company-${n}.example` }),
      }));
      const reply = await upsertContacts(
        { db: asApi(reads) },
        tenantId,
        ContactBulk.parse({ campaignId, rows }),
      );
      expect(reply.counts.unchanged).toBe(keys);
      expect(explained('contacts.companies', reads).rows).toBeLessThan(6 * keys);
      // What a function reads shows in its buffers alone.
      expect(explained('contacts.unchanged', reads).buffers).toBeLessThan(6 * keys);
    });

    test('companies dispatched by their domains', async () => {
      const reads = new Map<string, Reads[]>();
      const enqueued = await enqueue(asApi(reads), tenantId, campaignId, {
        provider: 'a-provider',
        kind: 'company',
        domains: some.map((n) => `company-${n}.example`),
        final: true,
        priority: 0,
        dryRun: true,
      });
      expect(enqueued).toMatchObject({ rejected: [] });
      expect(explained('enqueue.companies_by_domain', reads).rows).toBeLessThan(4 * keys);
    });
  },
);
