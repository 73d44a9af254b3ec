import { archivedRows } from '../../core/archive/chunk.ts';
import { showArchive } from '../../core/archive/read/list.ts';
import { runRestore, startRestore } from '../../core/archive/restore.ts';
import { runArchive } from '../../core/archive/run.ts';
import { startArchive } from '../../core/archive/start.ts';
import { reconcile } from '../../core/campaigns/counts/reconcile.ts';
import { getCampaign } from '../../core/campaigns/get.ts';
import { listCampaigns } from '../../core/campaigns/list.ts';
import { CampaignQuery } from '../../core/contract/campaigns.ts';
import { sql } from '../../core/db/sql.ts';
import { type Outcome, settle } from '../../core/research/settle.ts';
import {
  archived,
  archiver,
  aVariedCampaign,
  digestOf,
  evenly,
  restored,
  whereabouts,
} from '../support/archive.ts';
import { wrongCounts } from '../support/counts.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant, aWorld } from '../support/factories.ts';
import { aFullCampaign } from '../support/full-campaign.ts';

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
afterAll(() => db.close());

const api = () => db.asApi.forTenant(tenantId);

test('a campaign comes back from the archive with every column of every row as it was', async () => {
  const campaignId = await aVariedCampaign(db, tenantId, providerId, 400);
  const before = await digestOf(db, campaignId);
  const archiveId = await archived(db, tenantId, campaignId);
  expect(archiveId).toBe(campaignId);
  const kept = await whereabouts(db, campaignId);
  for (const { table, active, archived: rows } of kept) {
    expect([table, active, rows]).toEqual([table, 0, Number(before[table]?.count)]);
    expect(rows).toBeGreaterThan(0);
  }
  expect(await wrongCounts(db)).toEqual([]);
  expect(await restored(db, tenantId, archiveId)).toMatchObject({ done: true });
  expect(await digestOf(db, campaignId)).toEqual(before);
  expect(await wrongCounts(db)).toEqual([]);
  expect(await getCampaign({ db: api() }, tenantId, campaignId)).toMatchObject({
    archived: false,
    archivedAt: null,
  });
  expect(await db.query(sql('t')`select number from archive_chunks where archive_id = ${archiveId}`)).toEqual(
    [],
  );
});

test('lists, counts and the feed: the campaign is out of sight, has no rows, and went in one change', async () => {
  const campaignId = await aVariedCampaign(db, tenantId, providerId);
  const changes = () =>
    db.query<{ entity: string; op: string }>(sql('t')`
      select entity, op from changes where campaign_id = ${campaignId} order by seq`);
  const before = (await changes()).length;
  const archiveId = await archived(db, tenantId, campaignId);
  expect((await changes()).slice(before)).toEqual([{ entity: 'campaign', op: 'archive' }]);
  const { data } = await listCampaigns({ db: api() }, tenantId, CampaignQuery.parse({}));
  expect(data.map(({ id }) => id)).not.toContain(campaignId);
  const counts = { campaignIds: [campaignId], repair: false, budgetMs: 10_000 };
  expect(await reconcile(db.asWorker, counts)).toEqual({ proved: 1, off: [], unproved: [] });
  expect(await getCampaign({ db: api() }, tenantId, campaignId)).toMatchObject({
    archived: true,
    contactsCount: 0,
  });

  await restored(db, tenantId, archiveId);
  expect((await changes()).slice(before + 1)).toEqual([{ entity: 'campaign', op: 'restore' }]);
  expect(await reconcile(db.asWorker, counts)).toEqual({ proved: 1, off: [], unproved: [] });
  expect(await getCampaign({ db: api() }, tenantId, campaignId)).toMatchObject({
    contactsCount: 12,
    companiesCount: 4,
  });
});

test('rows that the walk has passed are found at its end, and archived as well', async () => {
  const campaignId = await aVariedCampaign(db, tenantId, providerId, 8);
  const before = await digestOf(db, campaignId);
  await startArchive(api(), tenantId, campaignId, { cancelOpenJobs: false });
  const contactsLeft = async () => {
    const [left] = await db.query<{ n: number }>(sql('t')`
      select count(*) as n from contacts where campaign_id = ${campaignId}`);
    return left?.n;
  };
  while ((await contactsLeft()) === 24) {
    // Time for one transaction.
    let looks = 6;
    await runArchive(archiver(db.asWorker), campaignId, {
      ...evenly(1, 5),
      remainingMs: () => 1_000 * looks--,
    });
  }
  expect(await contactsLeft()).toBe(19);
  // No role of ours can: what is below an archived campaign does not change.
  await db.transaction(async (tx) => {
    await tx.query(sql('t')`set local session_replication_role = replica`);
    await tx.query(sql('t')`
      update contacts set created_at = '1999-01-01' where campaign_id = ${campaignId} and id in (
        select id from contacts where campaign_id = ${campaignId} order by created_at desc limit 3)`);
  });
  expect(await runArchive(archiver(db.asWorker), campaignId, evenly(1, 5))).toMatchObject({ done: true });
  expect(await contactsLeft()).toBe(0);
  const kept = await whereabouts(db, campaignId);
  expect(kept.find(({ table }) => table === 'contacts')).toMatchObject({ active: 0, archived: 24 });
  expect(before.contacts).toMatchObject({ count: 24 });
});

test('an archive tells how far it is, and in the end what it holds', async () => {
  const campaignId = await aVariedCampaign(db, tenantId, providerId, 8);
  const rows = Object.values(await digestOf(db, campaignId)).reduce(
    (sum, { count }) => sum + Number(count),
    0,
  );
  await startArchive(api(), tenantId, campaignId, { cancelOpenJobs: false });
  expect(await showArchive({ db: api() }, tenantId, campaignId)).toMatchObject({
    state: 'archiving',
    rowsMoved: 0,
    rowsPerSecond: null,
    totals: null,
    archivedAt: null,
  });
  // Time for a few transactions.
  let looks = 25;
  const some = { ...evenly(1, 5), remainingMs: () => 1_000 * looks-- };
  expect(await runArchive(archiver(db.asWorker), campaignId, some)).toMatchObject({ done: false });
  const halfway = await showArchive({ db: api() }, tenantId, campaignId);
  expect(halfway.rowsMoved).toBeGreaterThan(0);
  expect(halfway.rowsMoved).toBeLessThan(halfway.rowsTotal ?? 0);
  expect(halfway.rowsTotal).toBeGreaterThanOrEqual(rows);
  expect(halfway.rowsPerSecond).toBeGreaterThan(0);
  expect(halfway.secondsLeft).toBeGreaterThanOrEqual(0);
  const { rows: rest } = await runArchive(archiver(db.asWorker), campaignId, evenly());
  expect(halfway.rowsMoved + rest).toBe(rows);
  const whole = await showArchive({ db: api() }, tenantId, campaignId);
  expect(whole).toMatchObject({ state: 'archived', rowsMoved: rows, rowsTotal: rows, secondsLeft: null });
  expect(whole.totals).toEqual({
    companies: 8,
    contacts: 24,
    research: 16,
    prospects: 16,
    batches: 3,
    jobs: 24,
    attempts: 30,
    lateResults: 18,
  });
  const stranger = await aTenant(db);
  await expect(showArchive({ db: db.asApi.forTenant(stranger) }, stranger, campaignId)).rejects.toMatchObject(
    {
      code: 'not_found',
    },
  );
});

test('no chunk has more than 1,000 rows, and a row is what it was, with its tenant and campaign', async () => {
  const campaignId = await aVariedCampaign(db, tenantId, providerId, 700);
  const [contact] = await db.query<{ row: Record<string, unknown> }>(sql('t')`
    select to_jsonb(c) - 'search_vector' as row from contacts c
    where campaign_id = ${campaignId} order by created_at, id limit 1`);
  await archived(db, tenantId, campaignId);
  const chunks = await db.query<{ rows: number }>(sql('t')`
    select row_count as rows from archive_chunks
    where archive_id = ${campaignId} and table_name = 'contacts' order by number`);
  expect(chunks.map(({ rows }) => rows)).toEqual([1_000, 1_000, 100]);
  const kept = await api().query<{ row: Record<string, unknown> }>(sql('t')`
    select row from ${archivedRows(campaignId, 'contacts', 1)} as row`);
  expect(kept).toHaveLength(1_000);
  expect(kept[0]?.row).toEqual(contact?.row);
  const stranger = db.asApi.forTenant(await aTenant(db));
  expect(
    await stranger.query(sql('t')`select row from ${archivedRows(campaignId, 'contacts', 1)} as row`),
  ).toEqual([]);
});

test('open jobs are counted and refused, or cancelled; their late result changes nothing', async () => {
  const campaignId = await aFullCampaign(db, tenantId, providerId, 12);
  await db.query(sql('t')`
    update research_jobs set status = 'processing', attempt_id = gen_random_uuid(), lease_until = now()
    where campaign_id = ${campaignId} and id in (select id from research_jobs where campaign_id = ${campaignId} limit 5)`);
  const [asked] = await db.query<{ jobId: string; attemptId: string }>(sql('t')`
    select id as "jobId", attempt_id as "attemptId" from research_jobs
    where campaign_id = ${campaignId} and status = 'processing' limit 1`);
  const refused = startArchive(api(), tenantId, campaignId, { cancelOpenJobs: false });
  await expect(refused).rejects.toMatchObject({
    code: 'open_jobs',
    message: expect.stringContaining('12 open jobs'),
  });
  expect(await getCampaign({ db: api() }, tenantId, campaignId)).toMatchObject({ archived: false });

  await startArchive(api(), tenantId, campaignId, { cancelOpenJobs: true });
  const late = { ...asked, type: 'completed', findings: {}, prospects: [] } as Outcome;
  expect(await settle(db.asWorker, [late])).toEqual([]);
  await runArchive(archiver(db.asWorker), campaignId, evenly());
  expect(await settle(db.asWorker, [late])).toEqual([]);
  const jobs = await db.query<{ status: string }>(sql('t')`
    select distinct row ->> 'status' as status from ${archivedRows(campaignId, 'research_jobs', 1)} as row`);
  expect(jobs).toEqual([{ status: 'cancelled' }]);
  await restored(db, tenantId, campaignId);
  expect(await settle(db.asWorker, [late])).toEqual([]);
  const open = await db.query(sql('t')`
    select id from research_batches where campaign_id = ${campaignId} and status <> 'cancelled'`);
  expect(open).toEqual([]);
});

test('whoever waits for a batch is resumed when it is cancelled for an archive, and the archive waits for that', async () => {
  const campaignId = await aFullCampaign(db, tenantId, providerId, 3);
  await db.query(sql('t')`
    update research_batches set resume_url = 'https://n8n.example/webhook-waiting/1', resume_state = 'waiting'
    where campaign_id = ${campaignId} and status = 'open'`);
  const ask = () => startArchive(api(), tenantId, campaignId, { cancelOpenJobs: true });
  await expect(ask()).rejects.toMatchObject({
    code: 'resumes_due',
    message: expect.stringMatching(/has \d+ ended batches.*try again in a minute/),
  });
  const due = await db.query(sql('t')`
    select distinct status, resume_state, resume_at <= now() as now, resume_feed_at <= now() as fed from research_batches
    where campaign_id = ${campaignId} and resume_url is not null`);
  expect(due).toEqual([{ status: 'cancelled', resume_state: 'due', now: true, fed: true }]);
  await db.query(sql('t')`
    update research_batches set resume_state = 'done', resume_at = null, resume_feed_at = null
    where campaign_id = ${campaignId} and resume_state = 'due'`);
  expect(await ask()).toMatchObject({ state: 'archiving' });
});

test('what there was no time to cancel is told, stays cancelled as far as it got, and the next request goes on', async () => {
  const campaignId = await aFullCampaign(db, tenantId, providerId, 2_200);
  const states = () =>
    db.query(sql('t')`
      select status, count(*) from research_jobs where campaign_id = ${campaignId} group by status order by status`);
  const within = (sets: number) =>
    startArchive(api(), tenantId, campaignId, { cancelOpenJobs: true, remainingMs: () => sets-- });
  // One set is of batches.
  await expect(within(2)).rejects.toMatchObject({
    code: 'cancelling',
    status: 503,
    retryable: true,
    message: expect.stringContaining('1200 open jobs'),
  });
  expect(await states()).toEqual([
    { status: 'cancelled', count: 1_000 },
    { status: 'queued', count: 1_200 },
  ]);
  expect(await getCampaign({ db: api() }, tenantId, campaignId)).toMatchObject({ archived: false });
  expect(await within(10)).toMatchObject({ state: 'archiving' });
  expect(await states()).toEqual([{ status: 'cancelled', count: 2_200 }]);
});

test('archiving and restoring may be asked for twice, an unfinished archive cannot be restored', async () => {
  const campaignId = await aVariedCampaign(db, tenantId, providerId, 1);
  const ask = () => startArchive(api(), tenantId, campaignId, { cancelOpenJobs: false });
  expect(await ask()).toEqual({ archiveId: campaignId, state: 'archiving' });
  expect(await ask()).toEqual({ archiveId: campaignId, state: 'archiving' });
  await expect(startRestore(api(), tenantId, campaignId)).rejects.toMatchObject({
    code: 'archive_unfinished',
  });
  await runArchive(archiver(db.asWorker), campaignId, evenly());
  expect(await ask()).toEqual({ archiveId: campaignId, state: 'archived' });
  expect(await runArchive(archiver(db.asWorker), campaignId, evenly())).toEqual({ done: true, rows: 0 });
  for (let twice = 0; twice < 2; twice++) {
    expect(await startRestore(api(), tenantId, campaignId)).toEqual({
      archiveId: campaignId,
      state: 'restoring',
    });
  }
  const stranger = await aTenant(db);
  const theirs = db.asApi.forTenant(stranger);
  await expect(startRestore(theirs, stranger, campaignId)).rejects.toMatchObject({ code: 'not_found' });
  const mine = await aCampaign(db, tenantId);
  for (const cancelOpenJobs of [true, false]) {
    const steal = startArchive(theirs, stranger, mine, { cancelOpenJobs });
    await expect(steal).rejects.toMatchObject({ code: 'not_found' });
  }
});

test('two archivers, and two restores, take turns and do no harm', async () => {
  const campaignId = await aVariedCampaign(db, tenantId, providerId, 40);
  const before = await digestOf(db, campaignId);
  const total = Object.values(before).reduce((sum, { count }) => sum + Number(count), 0);
  await startArchive(api(), tenantId, campaignId, { cancelOpenJobs: false });
  const both = await Promise.all(
    [1, 2].map(() => runArchive(archiver(db.asWorker), campaignId, evenly(1, 10))),
  );
  expect(both.map(({ done }) => done)).toEqual([true, true]);
  expect(both.reduce((sum, { rows }) => sum + rows, 0)).toBe(total);
  expect(Math.min(...both.map(({ rows }) => rows))).toBeGreaterThan(0);
  await startRestore(api(), tenantId, campaignId);
  const back = await Promise.all([1, 2].map(() => runRestore(archiver(db.asWorker), campaignId, evenly())));
  expect(back.reduce((sum, { rows }) => sum + rows, 0)).toBe(total);
  expect(await digestOf(db, campaignId)).toEqual(before);
});

test('an empty campaign goes into the archive and comes back', async () => {
  const campaignId = await aCampaign(db, tenantId);
  await archived(db, tenantId, campaignId);
  expect((await showArchive({ db: api() }, tenantId, campaignId)).state).toBe('archived');
  expect(await restored(db, tenantId, campaignId)).toMatchObject({ done: true, rows: 0 });
});

test('rows of a megabyte each are moved a few at a time', async () => {
  const campaignId = await aVariedCampaign(db, tenantId, providerId, 20);
  await db.query(sql('t')`
    update company_research r set findings = (
      select jsonb_agg(encode(sha256((r.id::text || n)::bytea), 'base64')) from generate_series(1, 20000) n)
    where campaign_id = ${campaignId}`);
  const before = await digestOf(db, campaignId);
  await archived(db, tenantId, campaignId);
  const chunks = await db.query<{ rows: number }>(sql('t')`
    select row_count as rows from archive_chunks where archive_id = ${campaignId} and table_name = 'company_research'`);
  expect(chunks.length).toBeGreaterThan(1);
  expect(Math.max(...chunks.map(({ rows }) => rows))).toBeLessThan(25);
  await restored(db, tenantId, campaignId);
  expect(await digestOf(db, campaignId)).toEqual(before);
});

test('rows of which something else was stored than was read are not deleted', async () => {
  const campaignId = await aVariedCampaign(db, tenantId, providerId);
  const before = await digestOf(db, campaignId);
  const forge = (text: string) => db.query({ statement: 't', text, values: [] });
  await forge(`create function forge() returns trigger language plpgsql as $$
    begin new.rows := jsonb_set(new.rows, '{3,0}', '"forged"'); return new; end $$`);
  await forge(`create trigger forge before insert on archive_chunks for each row
    when (new.table_name = 'contacts') execute function forge()`);
  await expect(archived(db, tenantId, campaignId)).rejects.toThrow(
    'contacts: 12 of 12 rows were stored, damaged',
  );
  expect((await digestOf(db, campaignId)).contacts).toEqual(before.contacts);
  await forge('drop trigger forge on archive_chunks');
  await runArchive(archiver(db.asWorker), campaignId, evenly());
  await restored(db, tenantId, campaignId);
  expect(await digestOf(db, campaignId)).toEqual(before);
});
