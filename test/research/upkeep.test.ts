import { sql } from '../../core/db/sql.ts';
import { enqueue } from '../../core/research/enqueue.ts';
import { sweep } from '../../core/research/sweep.ts';
import { aConveyor, countOf } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aTenant, aWorld } from '../support/factories.ts';

// What the sweep does besides feeding: each of its steps is needed by nobody in the minute in which it is left out.
let db: TestDatabase;
let conveyor: ReturnType<typeof aConveyor>;
beforeEach(async () => {
  db = await testDatabase();
  conveyor = aConveyor(db);
});
afterEach(async () => {
  await conveyor.close();
  await db.close();
});
const swept = () => sweep(conveyor.deps, { remainingMs: () => 60_000 });
const whole = { provider: 'a-provider', kind: 'company', priority: 0, dryRun: false };

test('an Idempotency-Key is kept for a day, and then forgotten, of its own tenant alone', async () => {
  const [one, other] = [await aTenant(db), await aTenant(db)];
  const keep = (tenantId: string, key: string, age: string) =>
    db.query(sql('test.key')`
      insert into idempotency_keys (user_id, key, request_hash, status, answer, created_at)
      values (${tenantId}, ${key}, sha256('x'), 202, '{}', now() - ${age}::interval)`);
  await keep(one, 'same', '25 hours');
  await keep(other, 'same', '23 hours');
  await keep(one, 'young', '23 hours');
  await swept();
  const left = await db.query(sql('test.left')`select user_id, key from idempotency_keys order by key`);
  expect(left).toEqual([
    { user_id: other, key: 'same' },
    { user_id: one, key: 'young' },
  ]);
});

test('a batch that was never sealed ends at its deadline all the same, and not before', async () => {
  const { tenantId, campaignId, companyIds } = await aWorld(db, { companies: 3 });
  const api = db.asApi.forTenant(tenantId);
  const resume = { resumeUrl: 'https://n8n.example/webhook-waiting/1' };
  const { batchId } = await enqueue(api, tenantId, campaignId, {
    ...whole,
    companyIds,
    final: false,
    ...resume,
  });
  const state = async () =>
    (
      await db.query(sql('test.state')`
      select status, sealed_at is not null as sealed, resume_state as resume from research_batches where id = ${batchId}`)
    )[0];
  await db.query(sql('test.cancel')`
    update research_jobs set status = 'cancelled', finished_at = now() where batch_id = ${batchId}`);
  await swept();
  expect(await state()).toEqual({ status: 'open', sealed: false, resume: 'waiting' });
  await db.query(
    sql('test.late')`update research_batches set deadline = now() - interval '1 s' where id = ${batchId}`,
  );
  await swept();
  expect(await state()).toEqual({ status: 'completed', sealed: true, resume: 'due' });
});

test('a batch that is still being expanded is gone on with, and is cut off only at its deadline', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 3 });
  const api = db.asApi.forTenant(tenantId);
  const all = { ...whole, all: true as const, final: true };
  // Whoever dispatched died before he could make the jobs.
  const young = await enqueue(api, tenantId, campaignId, all);
  const late = await enqueue(api, tenantId, campaignId, all);
  await db.query(
    sql(
      'test.late',
    )`update research_batches set deadline = now() - interval '1 s' where id = ${late.batchId}`,
  );
  await swept();
  const batches = await db.query(sql('test.batches')`
    select id, status, total, expanded_at is not null as expanded from research_batches order by created_at`);
  expect(batches).toEqual([
    { id: young.batchId, status: 'open', total: 3, expanded: true },
    { id: late.batchId, status: 'completed', total: 0, expanded: true },
  ]);
});

test('counts that say that nothing is open do not end a batch with open jobs', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 3 });
  const batchId = await conveyor.start(tenantId, campaignId);
  // As if counts were off, until they are proved.
  await db.query(sql('test.off')`delete from batch_counts where batch_id = ${batchId}`);
  await db.query(sql('test.proved')`update campaigns set counts_checked_at = now()`);
  await swept();
  expect(
    await countOf(db, sql('test.open')`select count(*) from research_batches where status = 'open'`),
  ).toBe(1);
});

test('counts of batches are folded, the days ahead have partitions, and what came without words for the search gets them', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 3 });
  const batchId = await conveyor.start(tenantId, campaignId);
  await conveyor.drain({ maxRounds: 1 });
  const rows = () =>
    countOf(db, sql('test.rows')`select count(*) from batch_counts where batch_id = ${batchId}`);
  expect(await rows()).toBeGreaterThan(1);
  await db.query(
    sql('test.words')`update companies set search_vector = null where campaign_id = ${campaignId}`,
  );
  const [day] = await db.query<{ name: string }>(sql('test.day')`
    select max(relname) as name from pg_class where relname ~ '^changes_\\d{8}$' and relkind = 'r'`);
  await db.query(sql('test.drop')`drop table aim.${sql.identifier(day?.name ?? '')}`);
  await swept();
  expect(await rows()).toBe(1);
  expect(
    await countOf(db, sql('test.wordless')`select count(*) from companies where search_vector is null`),
  ).toBe(0);
  expect(
    await countOf(db, sql('test.days')`select count(*) from pg_class where relname = ${day?.name}`),
  ).toBe(1);
});
