import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { companiesCount, contactsCount } from '../../core/campaigns/columns.ts';
import { fold } from '../../core/campaigns/counts/fold.ts';
import { reconcile } from '../../core/campaigns/counts/reconcile.ts';
import { holdCampaign } from '../../core/campaigns/get.ts';
import { updateCampaign } from '../../core/campaigns/update.ts';
import { upsertContacts } from '../../core/contacts/upsert.ts';
import type { Db } from '../../core/db/connect.ts';
import { type Fragment, sql } from '../../core/db/sql.ts';
import { aClientOf, copyIn } from '../support/copy.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant } from '../support/factories.ts';

const writers = 8;
let db: TestDatabase;
let copier: pg.Client;
beforeAll(async () => {
  db = await testDatabase({ max: writers + 2 });
  copier = await aClientOf(db.url);
});
afterAll(async () => {
  await copier.end();
  await db.close();
});

class RolledBack extends Error {}

interface Write {
  op: 'insert' | 'delete' | 'move' | 'touch';
  entity: 'companies' | 'contacts';
  from: number;
  to: number;
  rows: number;
}
type Transaction =
  | { type: 'writes'; writes: Write[]; commits: boolean }
  | { type: 'upsert'; campaign: number; emails: number }
  | { type: 'copy'; campaign: number; rows: number; commits: boolean }
  | { type: 'rename'; campaign: number };

const campaign = fc.nat({ max: 2 });
const write: fc.Arbitrary<Write> = fc.record({
  op: fc.constantFrom('insert', 'insert', 'delete', 'move', 'touch'),
  entity: fc.constantFrom('companies', 'contacts'),
  from: campaign,
  to: campaign,
  rows: fc.integer({ min: 1, max: 20 }),
});
const commits = fc.boolean();
const transaction: fc.Arbitrary<Transaction> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('writes'),
      writes: fc.array(write, { minLength: 1, maxLength: 3 }),
      commits,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('upsert'), campaign, emails: fc.integer({ min: 1, max: 9 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('copy'),
      campaign,
      rows: fc.integer({ min: 1, max: 40 }),
      commits,
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('rename'), campaign }) },
);

const tableOf = { companies: sql.fragment`companies`, contacts: sql.fragment`contacts` };

/** Rows that another writer holds are left to him, so that a deadlock could only come from the counters. */
const some = (table: Fragment, campaignId: string, rows: number, also = sql.empty) => sql.fragment`
  id in (select id from ${table} where campaign_id = ${campaignId} ${also} order by id limit ${rows} for update skip locked)`;
/** The emails are the same in every campaign. */
const movable = { companies: sql.empty, contacts: sql.fragment`and email is null` };

async function apply(tx: Db, tenantId: string, campaigns: string[], { op, entity, from, to, rows }: Write) {
  const table = tableOf[entity];
  const source = campaigns[from] ?? '';
  const target = campaigns[to] ?? '';
  await holdCampaign({ db: tx }, tenantId, source);
  if (op === 'delete') await tx.query(sql('t')`delete from ${table} where ${some(table, source, rows)}`);
  if (op === 'touch')
    await tx.query(sql('t')`update ${table} set version = version + 1 where ${some(table, source, rows)}`);
  if (op === 'move')
    await tx.query(
      sql(
        't',
      )`update ${table} set campaign_id = ${target} where ${some(table, source, rows, movable[entity])}`,
    );
  if (op === 'insert' && entity === 'contacts')
    await tx.query(sql('t')`insert into contacts (user_id, campaign_id) select ${tenantId}, c
      from unnest(${[source, target]}::uuid[]) c, generate_series(1, ${rows}::int)`);
  if (op === 'insert' && entity === 'companies')
    await tx.query(sql('t')`insert into companies (user_id, campaign_id, name, natural_key)
      select ${tenantId}, c, 'N', 'name:' || gen_random_uuid()
      from unnest(${[source, target]}::uuid[]) c, generate_series(1, ${rows}::int)`);
}

async function run(tenantId: string, campaigns: string[], what: Transaction): Promise<void> {
  const tenant = db.asApi.forTenant(tenantId);
  if (what.type === 'rename') {
    await updateCampaign({ db: tenant }, tenantId, campaigns[what.campaign] ?? '', { name: randomUUID() });
  } else if (what.type === 'upsert') {
    // The same emails from all writers: some rows are new, some are updates.
    const rows = Array.from({ length: what.emails }, (_, n) => ({
      email: `p${n}@x.example`,
      title: randomUUID(),
    }));
    await upsertContacts({ db: tenant }, tenantId, { campaignId: campaigns[what.campaign] ?? '', rows });
  } else if (what.type === 'writes') {
    await tenant
      .transaction(async (tx) => {
        for (const each of what.writes) await apply(tx, tenantId, campaigns, each);
        if (!what.commits) throw new RolledBack();
      })
      .catch((error: unknown) => {
        if (!(error instanceof RolledBack)) throw error;
      });
  }
}

/** One connection copies for all writers, one after another. */
async function copyAll(tenantId: string, campaigns: string[], all: Transaction[]): Promise<void> {
  for (const what of all) {
    if (what.type !== 'copy') continue;
    const line = `${tenantId}\t${campaigns[what.campaign]}`;
    await copier.query('begin');
    await copyIn(copier, 'copy contacts (user_id, campaign_id) from stdin', Array(what.rows).fill(line));
    await copier.query(what.commits ? 'commit' : 'rollback');
  }
}

interface Counts {
  shownCompanies: number;
  companies: number;
  shownContacts: number;
  contacts: number;
}
/** One statement is one snapshot. @returns campaigns that show another number than they have */
const wrong = (tenantId: string): Promise<Counts[]> =>
  db.asApi.forTenant(tenantId).query(sql('test.wrong')`
    select * from (
      select ${companiesCount} as "shownCompanies", ${contactsCount} as "shownContacts",
        (select count(*) from companies where campaign_id = campaigns.id) as companies,
        (select count(*) from contacts where campaign_id = campaigns.id) as contacts
      from campaigns where user_id = ${tenantId}
    ) counts
    where "shownCompanies" <> companies or "shownContacts" <> contacts`);

test('counts are those of COUNT(*) in every snapshot, whatever 8 writers, a fold and a repair do at once', async () => {
  const seen = { snapshots: 0, folded: 0, deadlocks: 0, transactions: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(transaction, { minLength: 1, maxLength: 4 }), {
        minLength: writers,
        maxLength: writers,
      }),
      async (scripts) => {
        const tenantId = await aTenant(db);
        const campaigns = await Promise.all([1, 2, 3].map(() => aCampaign(db, tenantId)));
        let writing = true;
        const whileWriting = async (work: () => Promise<void>) => {
          do await work();
          while (writing);
        };
        const beside = [
          whileWriting(async () => {
            seen.folded += await fold(db.asWorker, { budgetMs: 1_000 });
          }),
          whileWriting(async () => {
            const { off } = await reconcile(db.asWorker, {
              campaignIds: campaigns,
              repair: true,
              budgetMs: 1_000,
            });
            expect(off).toEqual([]);
          }),
          whileWriting(async () => {
            expect(await wrong(tenantId)).toEqual([]);
            seen.snapshots++;
          }),
        ];
        const outcomes = await Promise.allSettled([
          ...scripts.map(async (script) => {
            for (const what of script) await run(tenantId, campaigns, what);
          }),
          copyAll(tenantId, campaigns, scripts.flat()),
        ]);
        writing = false;
        await Promise.all(beside);
        const errors = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason as Error] : []));
        seen.deadlocks += errors.filter((error) => (error as { code?: string }).code === '40P01').length;
        seen.transactions += scripts.flat().length;
        expect(errors).toEqual([]);

        expect(await wrong(tenantId)).toEqual([]);
        seen.folded += await fold(db.asWorker, { budgetMs: 1_000 });
        expect(await wrong(tenantId)).toEqual([]);
        expect(await db.query(sql('test.left')`select id from campaign_count_deltas`)).toEqual([]);
      },
    ),
    { numRuns: 100 },
  );
  expect(seen.deadlocks).toBe(0);
  expect(seen.transactions).toBeGreaterThan(800);
  expect(seen.snapshots).toBeGreaterThan(100);
  expect(seen.folded).toBeGreaterThan(500);
  if (process.env.SHOW) console.log(seen);
}, 60_000);
