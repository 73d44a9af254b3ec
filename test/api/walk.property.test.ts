import fc from 'fast-check';
import { listContacts } from '../../core/contacts/list.ts';
import { ContactQuery } from '../../core/contract/contacts.ts';
import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant } from '../support/factories.ts';

let db: TestDatabase;
let tenantId: string;
let campaignId: string;
const rows = 3_000;
beforeAll(async () => {
  db = await testDatabase();
  tenantId = await aTenant(db);
  campaignId = await aCampaign(db, tenantId);
  // A thousand of each time, name and address, so that most pages end within equal keys.
  await db.query(sql('t')`
    insert into contacts (user_id, campaign_id, full_name, attributes, created_at, updated_at)
    select ${tenantId}, ${campaignId}, 'Name ' || n % 3, '{"stays": true}',
      '2026-01-01T00:00:00.000001Z'::timestamptz + (n % 3) * interval '1 microsecond',
      '2026-01-01T00:00:00.000001Z'::timestamptz + (n % 2) * interval '1 microsecond'
    from generate_series(1, ${rows}::int) n`);
});
afterAll(() => db.close());

/** What happens to other rows between two pages. */
const Between = fc.record({
  inserts: fc.integer({ min: 0, max: 5 }),
  deletes: fc.integer({ min: 0, max: 5 }),
  micros: fc.integer({ min: -2, max: 4 }),
  name: fc.constantFrom('Name 0', 'Name 1', 'Name 2', 'Name ', 'Z', ''),
});

test('a page walk beside inserts and deletes returns every row that was there throughout exactly once', async () => {
  const bound = { db: db.asApi.forTenant(tenantId) };
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('created', 'updated', 'name', 'email'),
      fc.constantFrom('asc', 'desc'),
      fc.constantFrom({}, { attribute: 'stays:true' }),
      fc.integer({ min: 150, max: 1_200 }),
      fc.array(Between, { minLength: 1, maxLength: 6 }),
      async (sort, order, filter, limit, between) => {
        const seen = new Map<string, number>();
        let cursor: string | undefined;
        for (let page = 0; page === 0 || cursor !== undefined; page++) {
          const query = ContactQuery.parse({
            campaignId,
            sort,
            order,
            limit,
            fields: 'id',
            ...filter,
            cursor,
          });
          const { data, next } = await listContacts(bound, tenantId, query);
          for (const { id } of data) seen.set(id, (seen.get(id) ?? 0) + 1);
          cursor = next ?? undefined;
          const { inserts, deletes, micros, name } = between[page % between.length] ?? {
            inserts: 0,
            deletes: 0,
            micros: 0,
            name: '',
          };
          await db.query(sql('t')`
            with gone as (
              delete from contacts where id in (
                select id from contacts where campaign_id = ${campaignId} and not attributes ? 'stays' limit ${deletes})
            )
            insert into contacts (user_id, campaign_id, full_name, created_at, updated_at)
            select ${tenantId}, ${campaignId}, ${name}, moment, moment
            from generate_series(1, ${inserts}::int),
              lateral (select '2026-01-01T00:00:00.000001Z'::timestamptz + ${micros}::int * interval '1 microsecond' as moment) m`);
        }
        expect([...seen.values()].every((times) => times === 1)).toBe(true);
        const [missed] = await db.query<{ count: number }>(sql('t')`
          select count(*) from contacts
          where campaign_id = ${campaignId} and attributes ? 'stays' and id <> all(${[...seen.keys()]}::uuid[])`);
        expect(missed?.count).toBe(0);
      },
    ),
    { numRuns: 100 },
  );
}, 60_000);
