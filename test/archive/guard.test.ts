import type pg from 'pg';
import { startRestore } from '../../core/archive/restore.ts';
import { runArchive } from '../../core/archive/run.ts';
import { startArchive } from '../../core/archive/start.ts';
import { deleteCampaign, removeDeleted } from '../../core/campaigns/delete.ts';
import { upsertContacts } from '../../core/contacts/upsert.ts';
import { sql } from '../../core/db/sql.ts';
import { backfillSearch } from '../../core/search/backfill.ts';
import { archived, archiver, aVariedCampaign, evenly, restored, whereabouts } from '../support/archive.ts';
import { aClientOf } from '../support/copy.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aWorld, someCompanies } from '../support/factories.ts';

let db: TestDatabase;
let tenantId: string;
let providerId: string;
let campaignId: string;
beforeAll(async () => {
  db = await testDatabase();
});
beforeEach(async () => {
  const world = await aWorld(db, { companies: 1 });
  tenantId = world.tenantId;
  providerId = world.provider.id;
  campaignId = await aVariedCampaign(db, tenantId, providerId);
});
afterEach(() => Promise.all(clients.splice(0).map((client) => client.end())));
afterAll(() => db.close());

const clients: pg.Client[] = [];
async function aWriter(url = db.url): Promise<pg.Client> {
  const client = await aClientOf(url);
  clients.push(client);
  return client;
}
const api = () => db.asApi.forTenant(tenantId);
const start = () => startArchive(api(), tenantId, campaignId, { cancelOpenJobs: false });
const plain = (text: string) => ({ statement: 't', text, values: [campaignId] });
const refusal = { code: 'campaign_archived' };

const guarded = [
  'companies',
  'contacts',
  'company_research',
  'prospect_research',
  'research_batches',
  'research_jobs',
];

test.each(guarded)('nothing is written to %s of an archived campaign, by whatever role', async (table) => {
  await start();
  const before = await whereabouts(db, campaignId);
  const set =
    { research_batches: 'priority = 3', research_jobs: 'priority = 3' }[table] ?? 'version = version + 1';
  for (const role of [api(), db.asWorker, db]) {
    await expect(
      role.query(plain(`update ${table} set ${set} where campaign_id = $1`)),
    ).rejects.toMatchObject(refusal);
    await expect(role.query(plain(`delete from ${table} where campaign_id = $1`))).rejects.toMatchObject(
      refusal,
    );
  }
  const copy = plain(`insert into ${table} (user_id, campaign_id${columns[table]?.names ?? ''})
    select user_id, campaign_id${columns[table]?.values ?? ''} from ${table} where campaign_id = $1 limit 1`);
  await expect(db.query(copy)).rejects.toMatchObject(refusal);
  expect(await whereabouts(db, campaignId)).toEqual(before);
});

const columns: Record<string, { names: string; values: string }> = {
  companies: { names: ', name, natural_key', values: ", 'x', 'name:x'" },
  company_research: { names: ', company_id, kind', values: ", company_id, 'third'" },
  prospect_research: {
    names: ', company_id, company_research_id, natural_key',
    values: ", company_id, company_research_id, 'x'",
  },
  research_batches: { names: ', provider_id, kind', values: ", provider_id, 'x'" },
  research_jobs: {
    names: ', batch_id, company_id, provider_id, kind',
    values: `, batch_id, (select id from companies where campaign_id <> $1 limit 1), provider_id, 'x'`,
  },
};

test('a writer that came first commits late: the archiver waits, and its row is archived too', async () => {
  const writer = await aWriter();
  await writer.query('begin');
  await writer.query('insert into contacts (user_id, campaign_id, full_name) values ($1, $2, $3)', [
    tenantId,
    campaignId,
    'late',
  ]);
  let isMarked = false;
  const marking = start().then(() => {
    isMarked = true;
  });
  await waiting();
  expect(isMarked).toBe(false);
  await writer.query('commit');
  await marking;
  await runArchive(archiver(db.asWorker), campaignId, evenly());
  const rows = await whereabouts(db, campaignId);
  expect(rows.find(({ table }) => table === 'contacts')).toEqual({
    table: 'contacts',
    active: 0,
    archived: 13,
  });
});

test.each([
  ['an insert', "insert into contacts (user_id, campaign_id) values ('TENANT', 'CAMPAIGN')"],
  ['an update', "update contacts set title = 'late' where campaign_id = 'CAMPAIGN'"],
  ['a delete', "delete from contacts where campaign_id = 'CAMPAIGN'"],
])('%s that comes while the campaign is being marked waits for the mark, and is refused', async (_, text) => {
  const marker = await aWriter();
  await marker.query('begin');
  await marker.query('select id from campaigns where id = $1 for update', [campaignId]);
  await marker.query('update campaigns set archived = true, archived_at = now() where id = $1', [campaignId]);
  const write = (await aWriter()).query(text.replace('TENANT', tenantId).replace('CAMPAIGN', campaignId));
  const outcome = write.catch((error: { code?: string }) => error.code);
  await waiting();
  await marker.query('commit');
  expect(await outcome).toBe('AIM02');
});

test('the API answers campaign_archived, its own look at the campaign or not', async () => {
  await start();
  const rows = [{ email: 'a@x.example' }];
  await expect(upsertContacts({ db: api() }, tenantId, { campaignId, rows })).rejects.toMatchObject({
    ...refusal,
    status: 409,
  });
  const direct = api().query(sql('t')`update contacts set title = 'x' where campaign_id = ${campaignId}`);
  await expect(direct).rejects.toMatchObject({ ...refusal, status: 409 });
});

test('naming the campaign lets a worker through and nobody else, and through to that campaign alone', async () => {
  const other = await aCampaign(db, tenantId);
  await someCompanies(db, tenantId, other, 1);
  await start();
  await startArchive(api(), tenantId, other, { cancelOpenJobs: false });
  const write = (role: typeof db.asWorker, named: string) =>
    role.transaction(async (tx) => {
      await tx.query(sql('t')`select set_config('aim.archiver', ${named}, true)`);
      await tx.query(sql('t')`delete from companies where campaign_id = ${other}`);
      throw new Error('it went through');
    });
  const tenant = { ...db.asApi, transaction: api().transaction };
  await expect(write(tenant, other)).rejects.toMatchObject(refusal);
  await expect(write(db.asWorker, campaignId)).rejects.toMatchObject(refusal);
  await expect(write(db.asWorker, other)).rejects.toThrow('it went through');
});

test('words for the search may still be filled in', async () => {
  await db.query(sql('t')`update contacts set search_vector = null where campaign_id = ${campaignId}`);
  await start();
  expect(await backfillSearch({ db: db.asWorker }, { hasTime: () => true })).toBe(12);
});

test('a campaign that is archived, half archived or half restored can be deleted, and is not moved any more', async () => {
  for (const state of ['marked', 'half', 'archived', 'restoring']) {
    const id = await aVariedCampaign(db, tenantId, providerId);
    await startArchive(api(), tenantId, id, { cancelOpenJobs: false });
    let looks = 7;
    const some = { ...evenly(1, 5), remainingMs: () => 1_000 * looks-- };
    if (state === 'half')
      expect(await runArchive(archiver(db.asWorker), id, some)).toMatchObject({ done: false });
    if (state === 'archived' || state === 'restoring') await runArchive(archiver(db.asWorker), id, evenly());
    if (state === 'restoring') await startRestore(api(), tenantId, id);
    await deleteCampaign({ db: api() }, tenantId, id, { budgetMs: 0 });
    expect(await runArchive(archiver(db.asWorker), id, evenly())).toEqual({ done: true, rows: 0 });
    await expect(startRestore(api(), tenantId, id)).rejects.toMatchObject({ code: 'not_found' });
  }
  await removeDeleted(db.asWorker, { budgetMs: 10_000 });
  const left = await db.query(sql('t')`select id from campaigns where deleted_at is not null`);
  expect(left).toEqual([]);
});

test('a restored campaign is written to again', async () => {
  await archived(db, tenantId, campaignId);
  await restored(db, tenantId, campaignId);
  const reply = await upsertContacts({ db: api() }, tenantId, {
    campaignId,
    rows: [{ email: 'new@x.example' }],
  });
  expect(reply).toMatchObject({ counts: { created: 1 } });
});

/** Until somebody waits for a lock in this database. */
async function waiting(): Promise<void> {
  for (let look = 0; look < 1_000; look++) {
    const [row] = await db.query<{ waits: boolean }>(sql('t')`
      select exists (select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock') as waits`);
    if (row?.waits) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('nobody waits');
}
