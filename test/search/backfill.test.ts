import { sql } from '../../core/db/sql.ts';
import { backfillSearch } from '../../core/search/backfill.ts';
import { search } from '../../core/search/search.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant } from '../support/factories.ts';
import { aCompany, aContact, aResearch } from './factories.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

const fragments = {
  companies: sql.fragment`companies`,
  contacts: sql.fragment`contacts`,
  company_research: sql.fragment`company_research`,
};

/** Rows as they were before the migration: without words. */
async function rowsBeforeSearch(contacts: number) {
  const tenantId = await aTenant(db);
  const campaignId = await aCampaign(db, tenantId);
  const companyId = await aCompany(
    db,
    { tenantId, campaignId },
    { name: 'Old Widgets', domain: 'old.example' },
  );
  const researchId = await aResearch(db, { tenantId, campaignId, companyId });
  const contactId = await aContact(db, { tenantId, campaignId }, { fullName: 'Old Hand' });
  await db.query(sql('test.many')`insert into contacts (user_id, campaign_id, full_name)
    select ${tenantId}, ${campaignId}, 'Filler ' || n from generate_series(1, ${contacts - 1}::int) n`);
  for (const table of Object.values(fragments))
    await db.query(sql('test.forget')`update ${table} set search_vector = null`);
  return { tenantId, companyId, researchId, contactId };
}
const missing = async () => {
  const [row] = await db.query<{ count: number }>(sql('test.missing')`
    select (select count(*) from companies where search_vector is null)
      + (select count(*) from contacts where search_vector is null)
      + (select count(*) from company_research where search_vector is null) as count`);
  return row?.count;
};
const marks = () =>
  db.query(sql('test.marks')`
    select id, version, updated_at from contacts union all
    select id, version, updated_at from companies union all
    select id, version, updated_at from company_research order by 1`);
const changes = async () =>
  (await db.query<{ n: number }>(sql('test.changes')`select count(*) as n from changes`))[0]?.n;

test('rows that came before the search are found after the backfill, and are otherwise as they were', async () => {
  const { tenantId, companyId, researchId, contactId } = await rowsBeforeSearch(2_500);
  const find = async (entity: (typeof entities)[number], q: string) =>
    (await search(db.asApi.forTenant(tenantId), tenantId, entity, { q, limit: 10 })).hits.map(
      (hit) => hit.id,
    );
  const entities = ['companies', 'contacts', 'research'] as const;
  expect(await find('contacts', '"old"')).toEqual([]);
  const [before, changesBefore] = [await marks(), await changes()];

  expect(await backfillSearch({ db: db.asWorker }, { hasTime: () => true })).toBe(2_502);

  expect(await missing()).toBe(0);
  expect(await find('contacts', 'old')).toEqual([contactId]);
  expect(await find('companies', 'old')).toEqual([companyId]);
  expect(await find('research', 'widgets')).toEqual([researchId]);
  expect(await marks()).toEqual(before);
  expect(await changes()).toBe(changesBefore);
  expect(await backfillSearch({ db: db.asWorker }, { hasTime: () => true })).toBe(0);
});

test('it ends when its time does, goes on the next time, and passes by rows that others hold', async () => {
  const { contactId } = await rowsBeforeSearch(2_500);
  const all = (await missing()) ?? 0;
  let batches = 2;
  const some = await backfillSearch({ db: db.asWorker }, { hasTime: () => batches-- > 0 });
  expect(some).toBeGreaterThan(0);
  expect(await missing()).toBe(all - some);

  await db.transaction(async (tx) => {
    await tx.query(sql('test.hold')`update contacts set phone = '1' where id = ${contactId}`);
    await backfillSearch({ db: db.asWorker }, { hasTime: () => true });
  });
  expect(await missing()).toBeLessThanOrEqual(1);
  await backfillSearch({ db: db.asWorker }, { hasTime: () => true });
  expect(await missing()).toBe(0);
});
