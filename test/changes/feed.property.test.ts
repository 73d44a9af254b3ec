import fc from 'fast-check';
import { position } from '../../core/changes/position.ts';
import { readChanges } from '../../core/changes/read.ts';
import { listCompanies } from '../../core/companies/list.ts';
import { CompanyQuery } from '../../core/contract/companies.ts';
import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant, someCompanies } from '../support/factories.ts';
import { horizonPassed } from '../support/horizon.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase({ max: 10 });
});
afterAll(() => db.close());

const runs = 40;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What one writer does: companies made in one transaction, how long it takes, and how it ends. */
const Write = fc.record({
  companies: fc.integer({ min: 1, max: 4 }),
  beforeMs: fc.integer({ min: 0, max: 8 }),
  insideMs: fc.integer({ min: 0, max: 12 }),
  commits: fc.boolean(),
});

test('whoever follows the feed beside slow, fast and rolled back writers gets every row, none twice, in one order for all', async () => {
  const tenantId = await aTenant(db);
  const campaignId = await aCampaign(db, tenantId);
  const bound = { db: db.asApi.forTenant(tenantId) };
  let number = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(Write, { minLength: 1, maxLength: 4 }), { minLength: 2, maxLength: 5 }),
      fc.integer({ min: 1, max: 5 }),
      async (writers, limit) => {
        const from = await position(bound);
        let isWriting = true;
        const seen: string[] = [];
        const followed = (async () => {
          let after = from;
          for (let more = true; more; ) {
            const isLast = !isWriting;
            const page = await readChanges(bound, tenantId, { after, limit, entity: 'company' });
            seen.push(...page.data.flatMap((change) => change.ids));
            more = !isLast || page.data.length > 0;
            after = page.next;
            if (page.data.length === 0) await pause(1);
          }
        })();
        const committed: string[] = [];
        await Promise.all(
          writers.map(async (writes) => {
            for (const write of writes) {
              await pause(write.beforeMs);
              const made: string[] = [];
              const domain = `w${number++}`;
              await db
                .transaction(async (tx) => {
                  for (let n = 0; n < write.companies; n++) {
                    const rows = await tx.query<{ id: string }>(sql('test.company')`
                      insert into companies (user_id, campaign_id, name, natural_key)
                      values (${tenantId}, ${campaignId}, 'x', ${`name:${domain} ${n}`}) returning id`);
                    made.push(...rows.map((row) => row.id));
                  }
                  await pause(write.insideMs);
                  if (!write.commits) throw new RolledBack();
                })
                .then(
                  () => committed.push(...made),
                  (error: unknown) => {
                    if (!(error instanceof RolledBack)) throw error;
                  },
                );
            }
          }),
        );
        await horizonPassed(db);
        isWriting = false;
        await followed;
        expect(new Set(seen).size).toBe(seen.length);
        expect([...seen].sort()).toEqual([...committed].sort());
      },
    ),
    { numRuns: runs },
  );
}, 60_000);

class RolledBack extends Error {}

test('a list is walked and the feed followed from its start: nothing is missed, whatever commits in between', async () => {
  const tenantId = await aTenant(db);
  const campaignId = await aCampaign(db, tenantId);
  const bound = { db: db.asApi.forTenant(tenantId) };
  await someCompanies(db, tenantId, campaignId, 50);
  const from = await position(bound);
  const known = new Set<string>();
  let cursor: string | undefined;
  for (let number = 0; number === 0 || cursor; number++) {
    const query = CompanyQuery.parse({ campaignId, limit: 10, order: 'asc', cursor });
    const page = await listCompanies(bound, tenantId, query);
    for (const { id } of page.data) known.add(id);
    cursor = page.next ?? undefined;
    // Behind the walk, where it does not come again.
    await db.query(sql('test.between')`
      insert into companies (user_id, campaign_id, name, natural_key, created_at)
      values (${tenantId}, ${campaignId}, 'x', ${`name:between ${number}`}, '2020-01-01')`);
  }
  expect(known.size).toBe(50);
  await horizonPassed(db);
  for (let after = from, more = true; more; ) {
    const { data, next } = await readChanges(bound, tenantId, { after, limit: 2 });
    for (const { ids } of data) for (const id of ids) known.add(id);
    more = data.length > 0;
    after = next;
  }
  const all = await db.query<{ id: string }>(
    sql('test.all')`select id from companies where campaign_id = ${campaignId}`,
  );
  expect(all.length).toBe(55);
  expect(all.every(({ id }) => known.has(id))).toBe(true);
});
