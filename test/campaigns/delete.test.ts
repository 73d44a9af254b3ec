import type pg from 'pg';
import { fold } from '../../core/campaigns/counts/fold.ts';
import { deleteCampaign, removeDeleted } from '../../core/campaigns/delete.ts';
import { getCampaign, holdCampaign } from '../../core/campaigns/get.ts';
import { removal } from '../../core/campaigns/remove.ts';
import { upsertContacts } from '../../core/contacts/upsert.ts';
import { sql } from '../../core/db/sql.ts';
import { expand } from '../../core/research/batches.ts';
import { enqueue } from '../../core/research/enqueue.ts';
import { aClientOf } from '../support/copy.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant, aWorld, someCompanies } from '../support/factories.ts';
import { aFullCampaign, rowsOf, sum } from '../support/full-campaign.ts';

let db: TestDatabase;
let tenantId: string;
let providerId: string;
beforeAll(async () => {
  db = await testDatabase();
});
beforeEach(async () => {
  const world = await aWorld(db, { companies: 1 });
  tenantId = world.tenantId;
  providerId = world.provider.id;
});
afterEach(async () => {
  await Promise.all(holders.splice(0).map((holder) => holder.end()));
  await db.query(sql('t')`delete from campaigns`);
});
afterAll(() => db.close());

const holders: pg.Client[] = [];
/** Somebody who does something in a transaction and keeps it open. */
async function aHolder(text: string, id: string): Promise<pg.Client> {
  const holder = await aClientOf(db.url);
  holders.push(holder);
  await holder.query('begin');
  await holder.query(text, [id]);
  return holder;
}

const api = () => db.asApi.forTenant(tenantId);
const none = {
  companies: 0,
  contacts: 0,
  company_research: 0,
  prospect_research: 0,
  research_batches: 0,
  research_jobs: 0,
};
const exists = async (id: string) =>
  (await db.query(sql('t')`select id from campaigns where id = ${id}`)).length > 0;
const mark = (id: string) => deleteCampaign({ db: api() }, tenantId, id, { budgetMs: 0 });

test('a campaign of thousands of rows goes with all of them, in the call itself, and nothing else goes', async () => {
  const stays = await aFullCampaign(db, tenantId, providerId, 10);
  const stranger = await aWorld(db, { companies: 1 });
  const strange = await aFullCampaign(db, stranger.tenantId, stranger.provider.id, 10);
  const before = [await rowsOf(db, stays), await rowsOf(db, strange)];
  const goes = await aFullCampaign(db, tenantId, providerId, 2_500);
  expect(sum(await rowsOf(db, goes))).toBeGreaterThan(20_000);
  await deleteCampaign({ db: api() }, tenantId, goes, { budgetMs: 20_000 });
  expect(await exists(goes)).toBe(false);
  expect(await rowsOf(db, goes)).toMatchObject({ ...none, research_attempts: 40 });
  expect([await rowsOf(db, stays), await rowsOf(db, strange)]).toEqual(before);
  await fold(db.asWorker, { budgetMs: 1_000 });
  expect(await db.query(sql('t')`select id from campaign_count_deltas`)).toEqual([]);
  expect(await getCampaign({ db: api() }, tenantId, stays)).toMatchObject({
    companiesCount: 10,
    contactsCount: 30,
  });
});

test('every step is bounded, jobs go first, and a removal that was interrupted goes on where it stopped', async () => {
  const id = await aFullCampaign(db, tenantId, providerId, 2_500);
  await mark(id);
  let rows = await rowsOf(db, id);
  let step = removal(db.asWorker, id);
  let steps = 0;
  for (let state = 'more'; state !== 'gone'; steps++) {
    // A new one knows nothing of what the last one did.
    if (steps % 7 === 6) step = removal(db.asWorker, id);
    state = await step();
    expect(state).not.toBe('blocked');
    const left = await rowsOf(db, id);
    expect(sum(rows) - sum(left)).toBeLessThanOrEqual(6_000);
    if ((left.research_jobs ?? 0) > 0) expect(left).toMatchObject({ contacts: 7_500, companies: 2_500 });
    rows = left;
  }
  expect(rows).toMatchObject(none);
  expect(steps).toBeGreaterThan(15);
});

test('what is left when the time is up is out of sight, takes nothing in, and the sweep removes it', async () => {
  const id = await aFullCampaign(db, tenantId, providerId, 20);
  await mark(id);
  const gone = { code: 'not_found' };
  await expect(getCampaign({ db: api() }, tenantId, id)).rejects.toMatchObject(gone);
  await expect(deleteCampaign({ db: api() }, tenantId, id)).rejects.toMatchObject(gone);
  const contacts = { campaignId: id, rows: [{ email: 'a@x.example' }] };
  await expect(upsertContacts({ db: api() }, tenantId, contacts)).rejects.toMatchObject(gone);
  const request = {
    provider: providerId,
    kind: 'company',
    all: true,
    final: true,
    priority: 0,
    dryRun: false,
  } as const;
  await expect(enqueue(api(), tenantId, id, request)).rejects.toMatchObject(gone);
  expect(await rowsOf(db, id)).toMatchObject({ contacts: 60, companies: 20, research_jobs: 20 });

  expect(await removeDeleted(db.asWorker, { budgetMs: 10_000 })).toEqual({ removed: 1, left: 0 });
  expect(await rowsOf(db, id)).toMatchObject(none);
});

test('a campaign that is not marked is never removed', async () => {
  const id = await aFullCampaign(db, tenantId, providerId, 3);
  const before = await rowsOf(db, id);
  expect(await removal(db.asWorker, id)()).toBe('gone');
  expect(await rowsOf(db, id)).toEqual(before);
});

test('a tenant cannot delete the campaign of another', async () => {
  const stranger = await aTenant(db);
  const id = await aCampaign(db, stranger);
  await expect(deleteCampaign({ db: api() }, tenantId, id)).rejects.toMatchObject({ code: 'not_found' });
  expect(await getCampaign({ db: db.asApi.forTenant(stranger) }, stranger, id)).toMatchObject({ version: 1 });
});

test('a writer that came first commits late, after all other rows went: its rows go too', async () => {
  const id = await aFullCampaign(db, tenantId, providerId, 3);
  let letGo = () => {};
  const asked = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let written = () => {};
  const wrote = new Promise<void>((resolve) => {
    written = resolve;
  });
  const late = api().transaction(async (tx) => {
    await holdCampaign({ db: tx }, tenantId, id);
    await someCompanies(tx, tenantId, id, 0);
    await tx.query(sql('t')`insert into contacts (user_id, campaign_id) values (${tenantId}, ${id})`);
    written();
    await asked;
  });
  await wrote;
  // Neither waits for the other: the deletion comes back, with the campaign out of sight and its last row still there.
  await deleteCampaign({ db: api() }, tenantId, id, { budgetMs: 10_000 });
  expect(await rowsOf(db, id)).toMatchObject(none);
  expect(await exists(id)).toBe(true);
  letGo();
  await late;
  expect(await rowsOf(db, id)).toMatchObject({ ...none, contacts: 1 });
  expect(await removeDeleted(db.asWorker, { budgetMs: 10_000 })).toEqual({ removed: 1, left: 0 });
  expect(await rowsOf(db, id)).toMatchObject(none);
});

test('rows that somebody holds, and their parents, are left to him, and removed when he lets go', async () => {
  const id = await aFullCampaign(db, tenantId, providerId, 3);
  const holder = await aHolder("update contacts set title = 'held' where campaign_id = $1", id);
  await mark(id);
  expect(await removeDeleted(db.asWorker, { budgetMs: 10_000 })).toEqual({ removed: 0, left: 1 });
  expect(await rowsOf(db, id)).toMatchObject({ ...none, contacts: 9, companies: 3 });
  await holder.query('commit');
  expect(await removeDeleted(db.asWorker, { budgetMs: 10_000 })).toEqual({ removed: 1, left: 0 });
});

test('a campaign that is held up does not hold up the others', async () => {
  const [held, free] = [await aCampaign(db, tenantId), await aFullCampaign(db, tenantId, providerId, 3)];
  await mark(held);
  await mark(free);
  await aHolder('select id from campaigns where id = $1 for key share', held);
  expect(await removeDeleted(db.asWorker, { budgetMs: 10_000 })).toEqual({ removed: 1, left: 1 });
  expect([await exists(held), await exists(free)]).toEqual([true, false]);
});

test('a batch that is still being expanded grows no more', async () => {
  const id = await aCampaign(db, tenantId);
  await someCompanies(db, tenantId, id, 2_500);
  const request = {
    provider: providerId,
    kind: 'company',
    all: true,
    final: true,
    priority: 0,
    dryRun: false,
  } as const;
  const { batchId } = await enqueue(api(), tenantId, id, request);
  await db.query(sql('t')`
    insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind)
    select ${tenantId}, ${batchId}, c.id, ${id}, ${providerId}, 'company' from companies c
    where c.campaign_id = ${id} order by c.id limit 1500`);
  await mark(id);
  expect(await removal(db.asWorker, id)()).toBe('more');
  expect(await rowsOf(db, id)).toMatchObject({ research_jobs: 500 });
  await expand(db.asWorker, batchId ?? '', { budgetMs: 1_000 });
  expect(await rowsOf(db, id)).toMatchObject({ research_jobs: 500 });
});

test('two removals at once do no harm', async () => {
  const id = await aFullCampaign(db, tenantId, providerId, 1_000);
  await mark(id);
  const both = await Promise.all([1, 2].map(() => removeDeleted(db.asWorker, { budgetMs: 10_000 })));
  expect(both.length).toBe(2);
  await removeDeleted(db.asWorker, { budgetMs: 10_000 });
  expect(await exists(id)).toBe(false);
  expect(await rowsOf(db, id)).toMatchObject(none);
});
