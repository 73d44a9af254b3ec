import { type Connection, connect } from '../../core/db/connect.ts';
import { applyMigrations } from '../../core/db/migrate.ts';
import { sql } from '../../core/db/sql.ts';
import { search } from '../../core/search/search.ts';
import { aCampaign, aTenant } from '../support/factories.ts';
import { type Supabase, supabaseOn15 } from '../support/postgres15.ts';
import { aCompany, aResearch } from './factories.ts';

let supabase: Supabase;
let owner: Connection;
let admin: Connection;
beforeAll(async () => {
  supabase = await supabaseOn15();
  await applyMigrations(supabase.url);
  owner = connect(supabase.url);
  admin = connect(supabase.adminUrl);
});
afterAll(async () => {
  await Promise.all([owner.close(), admin.close()]);
  await supabase.stop();
});

/** Runs `work` as one of the roles, bound to a tenant. */
function as<Result>(
  role: string,
  tenantId: string,
  work: (db: Connection) => Promise<Result>,
): Promise<Result> {
  return admin.transaction(async (tx) => {
    await tx.query(sql('test.tenant')`select set_config('request.jwt.claim.sub', ${tenantId}, true)`);
    await tx.query({ statement: 'test.role', text: `set local role ${role}`, values: [] });
    return work(tx as Connection);
  });
}

test.each(['aim_api', 'service_role'])(
  'on Postgres 15, with extensions in a schema of their own, what %s writes is found by words, prefix, accents and typos',
  async (role) => {
    const tenantId = await aTenant(owner);
    const campaignId = await aCampaign(owner, tenantId);
    const { companyId, researchId } = await as(role, tenantId, async (db) => {
      const place = { tenantId, campaignId };
      const companyId = await aCompany(db, place, { name: 'Ångström AB', domain: 'widgets.co.example' });
      return { companyId, researchId: await aResearch(db, { ...place, companyId }) };
    });
    for (const q of ['angstrom', 'ÅNGS', 'widgets.co.example', 'angstorm'])
      await as('aim_api', tenantId, async (db) => {
        const found = async (entity: 'companies' | 'research') =>
          (await search(db, tenantId, entity, { q, limit: 10 })).hits.map((hit) => hit.id);
        expect({ q, ids: await found('companies') }).toEqual({ q, ids: [companyId] });
        expect({ q, ids: await found('research') }).toEqual({ q, ids: [researchId] });
      });
    const stranger = await aTenant(owner);
    const theirs = as('aim_api', stranger, (db) =>
      search(db, tenantId, 'companies', { q: 'ang', limit: 10 }),
    );
    await expect(theirs).rejects.toMatchObject({ code: '42501' });
  },
);

test('a browser may not call the search', async () => {
  const tenantId = await aTenant(owner);
  const asked = as('authenticated', tenantId, (db) => search(db, tenantId, 'contacts', { q: 'a', limit: 1 }));
  await expect(asked).rejects.toMatchObject({ code: '42501' });
});
