import { readFileSync } from 'node:fs';
import { fold } from '../../core/campaigns/counts/fold.ts';
import { reconcile } from '../../core/campaigns/counts/reconcile.ts';
import { createCampaign } from '../../core/campaigns/create.ts';
import { getCampaign } from '../../core/campaigns/get.ts';
import { listCampaigns } from '../../core/campaigns/list.ts';
import { sql } from '../../core/db/sql.ts';
import { sweep } from '../../core/research/sweep.ts';
import { aConveyor } from '../support/conveyor.ts';
import { aClientOf } from '../support/copy.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant, aWorld, someCompanies } from '../support/factories.ts';

let db: TestDatabase;
let tenantId: string;
let campaignId: string;
beforeAll(async () => {
  db = await testDatabase();
});
beforeEach(async () => {
  await db.query(sql('t')`delete from campaigns`);
  await fold(db.asWorker, { budgetMs: 1_000 });
  tenantId = await aTenant(db);
  campaignId = await aCampaign(db, tenantId);
});
afterAll(() => db.close());

const api = () => db.asApi.forTenant(tenantId);
const someContacts = (count: number, id = campaignId) =>
  api().query(sql('t')`
    insert into contacts (user_id, campaign_id) select ${tenantId}, ${id} from generate_series(1, ${count}::int)`);
const shown = async (id = campaignId) => {
  const { companiesCount, contactsCount } = await getCampaign({ db: api() }, tenantId, id);
  return [companiesCount, contactsCount];
};
const deltas = () =>
  db.query<{ companies: number; contacts: number }>(sql('t')`
    select companies, contacts from campaign_count_deltas order by id`);
/** An error that no trigger saw, as a restore without triggers makes it. */
async function unseen(text: string): Promise<void> {
  const owner = await aClientOf(db.url);
  await owner.query('set session_replication_role = replica');
  await owner.query(text).finally(() => owner.end());
}

test('a new campaign counts nothing, and a list shows what a single campaign shows', async () => {
  const made = await createCampaign({ db: api() }, tenantId, { name: 'New' });
  expect(made).toMatchObject({ companiesCount: 0, contactsCount: 0 });
  await someContacts(3, made.id);
  const { data } = await listCampaigns({ db: api() }, tenantId, {
    archived: 'false',
    order: 'desc',
    limit: 10,
  } as Parameters<typeof listCampaigns>[2]);
  expect(data.find((campaign) => campaign.id === made.id)).toMatchObject({
    companiesCount: 0,
    contactsCount: 3,
  });
});

test('a statement over a thousand rows appends one delta', async () => {
  await someContacts(1_000);
  expect(await deltas()).toEqual([{ companies: 0, contacts: 1_000 }]);
});

test('an update that moves nothing appends nothing', async () => {
  await someContacts(5);
  await api().query(sql('t')`update contacts set full_name = 'Ada', version = version + 1`);
  expect(await deltas()).toHaveLength(1);
});

test('contacts whose company goes are still counted', async () => {
  const [companyId] = await someCompanies(api(), tenantId, campaignId, 2);
  await api().query(sql('t')`
    insert into contacts (user_id, campaign_id, company_id) values (${tenantId}, ${campaignId}, ${companyId})`);
  await api().query(sql('t')`delete from companies where id = ${companyId}`);
  expect(await shown()).toEqual([1, 1]);
});

test('rows that go with their campaign leave no delta', async () => {
  await someContacts(5);
  await fold(db.asWorker, { budgetMs: 1_000 });
  await db.query(sql('t')`delete from campaigns where id = ${campaignId}`);
  expect(await deltas()).toEqual([]);
});

test.each([
  'insert into campaign_count_deltas (user_id, campaign_id, contacts) values ($1, $2, 1000)',
  'update campaigns set contacts_count = 1000 where user_id = $1 and id = $2',
])('a tenant cannot write its counts: %s', async (text) => {
  const forged = api().query({ statement: 't', text, values: [tenantId, campaignId] });
  await expect(forged).rejects.toMatchObject({ code: '42501' });
});

describe('fold', () => {
  test('changes neither what is shown nor version and time, and leaves no delta', async () => {
    await someContacts(7);
    await someCompanies(api(), tenantId, campaignId, 3);
    const before = await getCampaign({ db: api() }, tenantId, campaignId);
    expect(await fold(db.asWorker, { budgetMs: 1_000 })).toBe(2);
    expect(await getCampaign({ db: api() }, tenantId, campaignId)).toEqual(before);
    expect(before).toMatchObject({ companiesCount: 3, contactsCount: 7, version: 1 });
    expect(await deltas()).toEqual([]);
  });

  test('passes a writer of the campaign by, who passes it by', async () => {
    const [writer, folder] = [await aClientOf(db.url), await aClientOf(db.url)];
    await folder.query('begin');
    await folder.query('select id from campaigns for no key update');
    await writer.query("begin; set local lock_timeout = '1ms'");
    await writer.query('insert into contacts (user_id, campaign_id) values ($1, $2)', [tenantId, campaignId]);
    await folder.query('rollback');
    await someContacts(2);
    // The writer has the campaign's key and its own delta, uncommitted.
    expect(await fold(db.asWorker, { budgetMs: 1_000 })).toBe(1);
    await writer.query('commit');
    expect(await shown()).toEqual([0, 3]);
    await Promise.all([writer.end(), folder.end()]);
  });

  test('leaves a campaign that is held, and what comes behind it is folded all the same', async () => {
    const other = await aCampaign(db, tenantId);
    for (let n = 0; n < 3; n++) await someContacts(1);
    await someContacts(1, other);
    const holder = await aClientOf(db.url);
    await holder.query('begin');
    await holder.query('select id from campaigns where id = $1 for update', [campaignId]);
    expect(await fold(db.asWorker, { budgetMs: 1_000 })).toBe(1);
    await holder.query('rollback');
    await holder.end();
    expect(await fold(db.asWorker, { budgetMs: 1_000 })).toBe(3);
    expect([await shown(), await shown(other)]).toEqual([
      [0, 3],
      [0, 1],
    ]);
  });

  test('forgets the deltas of a campaign that is gone', async () => {
    await someContacts(1);
    await db.query(sql('t')`delete from campaigns where id = ${campaignId}`);
    expect(await deltas()).toHaveLength(1);
    expect(await fold(db.asWorker, { budgetMs: 1_000 })).toBe(1);
    expect(await deltas()).toEqual([]);
  });

  test('goes on, chunk by chunk, over more deltas than it takes at once', async () => {
    await db.query(sql('t')`insert into campaign_count_deltas (user_id, campaign_id, contacts)
      select ${tenantId}, ${campaignId}, 1 from generate_series(1, 12000)`);
    expect(await fold(db.asWorker, { budgetMs: 10_000 })).toBe(12_000);
    expect(await shown()).toEqual([0, 12_000]);
  });
});

describe('reconcile', () => {
  test('finds nothing where nothing is wrong, and notes that it looked', async () => {
    await someContacts(4);
    await db.query(sql('t')`update campaigns set counts_checked_at = now() - interval '2 days'`);
    const due = { repair: true, budgetMs: 5_000 };
    expect(await reconcile(db.asWorker, due)).toEqual({ proved: 1, off: [], unproved: [] });
    expect(await reconcile(db.asWorker, due)).toEqual({ proved: 0, off: [], unproved: [] });
  });

  test('says what is wrong, and repairs it only when asked to', async () => {
    await someCompanies(api(), tenantId, campaignId, 2);
    await someContacts(4);
    await unseen(
      `delete from companies where campaign_id = '${campaignId}' and domain = 'company-1.example'`,
    );
    await unseen(`insert into contacts (user_id, campaign_id) values ('${tenantId}', '${campaignId}')`);
    const off = [
      { campaignId, entity: 'companies', shown: 2, actual: 1 },
      { campaignId, entity: 'contacts', shown: 4, actual: 5 },
    ];
    const which = { campaignIds: [campaignId], budgetMs: 5_000 };
    expect((await reconcile(db.asWorker, { ...which, repair: false })).off).toEqual(off);
    expect(await shown()).toEqual([2, 4]);
    expect((await reconcile(db.asWorker, { ...which, repair: true })).off).toEqual(off);
    expect(await shown()).toEqual([1, 5]);
    expect((await reconcile(db.asWorker, { ...which, repair: true })).off).toEqual([]);
  });

  test('repairs an error once, however many repair it at once', async () => {
    await unseen(`insert into contacts (user_id, campaign_id) values ('${tenantId}', '${campaignId}')`);
    const all = await Promise.all(
      [1, 2, 3, 4].map(() =>
        reconcile(db.asWorker, { campaignIds: [campaignId], repair: true, budgetMs: 5_000 }),
      ),
    );
    expect(all.flatMap((proof) => proof.off)).toHaveLength(1);
    expect(await shown()).toEqual([0, 1]);
  });

  test('gives a campaign up that it cannot count in time, names it, and goes on with others another day', async () => {
    const holder = await aClientOf(db.url);
    await holder.query('begin; lock table contacts in access exclusive mode');
    await db.query(sql('t')`update campaigns set counts_checked_at = now() - interval '2 days'`);
    const proof = await reconcile(db.asWorker, { repair: true, budgetMs: 100 });
    await holder.query('rollback');
    await holder.end();
    expect(proof).toEqual({ proved: 0, off: [], unproved: [campaignId] });
    expect(await reconcile(db.asWorker, { repair: true, budgetMs: 5_000 })).toMatchObject({ proved: 0 });
  });

  test('the sweep folds, repairs, and says what it repaired', async () => {
    await someContacts(2);
    await unseen(`insert into contacts (user_id, campaign_id) values ('${tenantId}', '${campaignId}')`);
    await db.query(sql('t')`update campaigns set counts_checked_at = now() - interval '2 days'`);
    const logged: [string, unknown][] = [];
    const log = {
      info: () => undefined,
      warn: (event: string, fields: unknown) => logged.push([event, fields]),
    };
    const conveyor = aConveyor(db);
    await sweep({ ...conveyor.deps, db: db.asWorker, log }, { remainingMs: () => 60_000 });
    await conveyor.close();
    const counts = [{ campaignId, entity: 'contacts', shown: 2, actual: 3 }];
    expect(logged).toEqual([['counts.repaired', { counts }]]);
    expect(await shown()).toEqual([0, 3]);
  });
});

test('rows that came before the triggers are counted by the migration, once', async () => {
  const { campaignId: old } = await aWorld(db, { companies: 0 });
  await unseen(`insert into contacts (user_id, campaign_id)
    select user_id, id from campaigns where id = '${old}'`);
  const file = readFileSync('migrations/0013_count_old_rows.sql', 'utf8');
  const up = file.slice(file.indexOf('-- Up Migration'), file.indexOf('-- Down Migration'));
  const before = await deltas();
  for (let time = 0; time < 2; time++) await db.query({ statement: 't', text: up, values: [] });
  expect((await deltas()).slice(before.length)).toEqual([{ companies: 0, contacts: 1 }]);
});
