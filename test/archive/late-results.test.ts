import { runErasure, startErasure } from '../../core/archive/forget/erase.ts';
import { runArchive } from '../../core/archive/run.ts';
import { startArchive } from '../../core/archive/start.ts';
import { sql } from '../../core/db/sql.ts';
import { settle } from '../../core/research/settle.ts';
import { archived, archiver, aVariedCampaign, digestOf, evenly, restored } from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';
import { tracesOf } from './traces.ts';

const t = sql('t');
let db: TestDatabase;
let tenantId: string;
let campaignId: string;
beforeEach(async () => {
  db = await testDatabase();
  const world = await aWorld(db, { companies: 1 });
  tenantId = world.tenantId;
  campaignId = await aVariedCampaign(db, tenantId, world.provider.id);
});
afterEach(() => db.close());

/** An attempt without a late result, for one to come. */
async function aRetriedAttempt(): Promise<{ id: string; jobId: string }> {
  const [attempt] = await db.query<{ id: string; jobId: string }>(t`
    select a.id, a.job_id as "jobId" from research_attempts a join research_jobs j on j.id = a.job_id
    where j.campaign_id = ${campaignId} and a.outcome = 'throttled'
      and not exists (select from late_results l where l.attempt_id = a.id) order by a.id limit 1`);
  if (!attempt) throw new Error('no such attempt');
  return attempt;
}
const insertLate = (attempt: { id: string; jobId: string }) => t`
  insert into late_results (attempt_id, user_id, job_id) values (${attempt.id}, ${tenantId}, ${attempt.jobId})`;
const late = async () =>
  (await db.query<{ n: number }>(t`select count(*) as n from late_results where user_id = ${tenantId}`))[0]
    ?.n;

test('a person whom only an archived late result names is forgotten there, and the rest comes back', async () => {
  const before = await digestOf(db, campaignId);
  await archived(db, tenantId, campaignId);
  const email = 'bob@x.example';
  expect(await tracesOf(db, email)).toEqual(['archive_chunks']);
  const { id } = await startErasure({ db: db.asApi.forTenant(tenantId) }, tenantId, email);
  const deps = { ...archiver(db.asWorker), log: { info: () => undefined, warn: () => undefined } };
  const erasure = { erasureId: id, tenantId, email };
  expect(await runErasure(deps, erasure, { remainingMs: () => 60_000 })).toMatchObject({ done: true });
  expect(await tracesOf(db, email)).toEqual([]);
  // His name went with his address.
  expect(await tracesOf(db, '"Bob"')).toEqual([]);
  expect(await restored(db, tenantId, campaignId)).toMatchObject({ done: true });
  const after = await digestOf(db, campaignId);
  delete before.late_results?.prospects;
  expect(after).toMatchObject(before);
  const prospects = await db.query(
    t`select distinct prospects from late_results where user_id = ${tenantId}`,
  );
  expect(prospects).toEqual([{ prospects: [] }]);
});

test('a result that comes for a campaign on its way into the archive is left out, and harms no other', async () => {
  const attempt = await aRetriedAttempt();
  const before = await late();
  await startArchive(db.asApi.forTenant(tenantId), tenantId, campaignId, { cancelOpenJobs: false });
  const outcome = { jobId: attempt.jobId, attemptId: attempt.id, type: 'completed' as const };
  expect(await settle(db.asWorker, [outcome])).toEqual([]);
  expect(await late()).toBe(before);
  // What found the campaign active, and comes after the mark all the same, is refused.
  await expect(db.asWorker.query(insertLate(attempt))).rejects.toMatchObject({ code: 'campaign_archived' });
});

test('one that is written when the archiver comes, and commits late, is archived too', async () => {
  const attempt = await aRetriedAttempt();
  const before = Number(await late());
  let marked = false;
  const marking = await db.asWorker.transaction(async (tx) => {
    await tx.query(insertLate(attempt));
    const started = startArchive(db.asApi.forTenant(tenantId), tenantId, campaignId, {
      cancelOpenJobs: false,
    }).finally(() => {
      marked = true;
    });
    await archiverWaits();
    expect(marked).toBe(false);
    return { started };
  });
  await marking.started;
  await runArchive(archiver(db.asWorker), campaignId, evenly());
  expect(await late()).toBe(0);
  await restored(db, tenantId, campaignId);
  expect(await late()).toBe(before + 1);
});

async function archiverWaits(): Promise<void> {
  for (;;) {
    const [waiting] = await db.query<{ n: number }>(t`
      select count(*) as n from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and query like '%from campaigns%'`);
    if (waiting?.n) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
