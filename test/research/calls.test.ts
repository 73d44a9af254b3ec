import { randomUUID } from 'node:crypto';
import { sql } from '../../core/db/sql.ts';
import { expand } from '../../core/research/batches.ts';
import { type EnqueueRequest, enqueue } from '../../core/research/enqueue.ts';
import { untilBlocked } from '../support/blocked.ts';
import { countOf } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aProvider, aWorld, someCompanies } from '../support/factories.ts';

// A batch that several calls build: what each of them may add, and to what.
let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());
const whole = { provider: 'a-provider', kind: 'company', priority: 0, dryRun: false, final: false };
const plenty = { budgetMs: 60_000 };

async function aScene(companies = 4) {
  const world = await aWorld(db, { companies });
  const api = db.asApi.forTenant(world.tenantId);
  return {
    ...world,
    api,
    call: (more: Partial<EnqueueRequest>, campaignId = world.campaignId) =>
      enqueue(api, world.tenantId, campaignId, { ...whole, ...more }),
    jobs: (batchId: string | null) =>
      countOf(db, sql('test.jobs')`select count(*) from research_jobs where batch_id = ${batchId}`),
  };
}

test('a batch takes companies of its own campaign, provider and kind, and of no other', async () => {
  const { tenantId, companyIds, call, jobs } = await aScene();
  await aProvider(db, tenantId, { name: 'another' });
  const elsewhere = await aCampaign(db, tenantId);
  const [foreign = ''] = await someCompanies(db, tenantId, elsewhere, 1);
  const { batchId } = await call({ companyIds: companyIds.slice(0, 1) });
  const add = { batchId: batchId ?? '', companyIds: companyIds.slice(1) };
  for (const attempt of [
    call({ ...add, provider: 'another' }),
    call({ ...add, kind: 'people' }),
    call({ ...add, companyIds: [foreign] }, elsewhere),
  ])
    await expect(attempt).rejects.toMatchObject({ code: 'batch_mismatch' });
  expect(await jobs(batchId)).toBe(1);
  expect(await call(add)).toMatchObject({ accepted: 3 });
});

test('a call that comes while another seals the batch waits for it, and is refused', async () => {
  const { companyIds, call, api, tenantId, campaignId, jobs } = await aScene();
  const { batchId } = await call({ companyIds: companyIds.slice(0, 1) });
  const id = batchId ?? '';
  let late: Promise<unknown> = Promise.resolve();
  await api.transaction(async (tx) => {
    await enqueue(tx, tenantId, campaignId, {
      ...whole,
      batchId: id,
      companyIds: companyIds.slice(1, 2),
      final: true,
    });
    late = call({ batchId: id, companyIds: companyIds.slice(2) }).then(
      () => 'taken',
      (error: { code?: string }) => error.code,
    );
    await untilBlocked(db);
  });
  expect(await late).toBe('batch_sealed');
  expect(await jobs(id)).toBe(2);
});

test('what is dispatched for later, at a priority, has both in its batch and in each of its jobs', async () => {
  const { companyIds, call } = await aScene();
  const runAt = '2031-02-03T04:05:06.000Z';
  for (const which of [{ companyIds }, { all: true as const }]) {
    const { batchId } = await call({ ...which, runAt, priority: 7, final: true });
    await expand(db.asWorker, batchId ?? '', plenty);
    const asked = await db.query(sql('test.asked')`
      select distinct b.priority, j.priority as own, j.run_at = b.run_at as same, b.run_at = ${runAt}::timestamptz as given
      from research_batches b join research_jobs j on j.batch_id = b.id where b.id = ${batchId}`);
    expect(asked).toEqual([{ priority: 7, own: 7, same: true, given: true }]);
  }
});

test('of a list with bad domains and unknown companies each is named by its place', async () => {
  const { call } = await aScene();
  const domains = ['company-1.example', 'no dot', 'unknown.example', '', 'company-2.example'];
  const reply = await call({ domains });
  expect(reply).toMatchObject({ accepted: 2 });
  expect(reply.rejected.map(({ path, code }) => `${path} ${code}`).sort()).toEqual([
    'domains[1] invalid_domain',
    'domains[2] unknown_company',
    'domains[3] invalid_domain',
  ]);
});

test('a company that comes after the dispatch of all is not researched, and so not paid for', async () => {
  const { tenantId, campaignId, call, jobs } = await aScene(3);
  const { batchId, accepted } = await call({ all: true, final: true });
  await someCompanies(db, tenantId, campaignId, 2, { from: 10 });
  expect(await expand(db.asWorker, batchId ?? '', plenty)).toBe(true);
  expect([accepted, await jobs(batchId)]).toEqual([3, 3]);
});

test('a call by name between the dispatch of all and the making of its jobs cuts nothing off', async () => {
  const { companyIds, call, jobs } = await aScene(5);
  const { batchId } = await call({ all: true });
  await call({ batchId: batchId ?? '', companyIds: companyIds.slice(0, 1), final: true });
  expect(await expand(db.asWorker, batchId ?? '', plenty)).toBe(true);
  expect(await jobs(batchId)).toBe(5);
});

test('a second call with all begins at the first company again', async () => {
  const { tenantId, campaignId, call, jobs } = await aScene(3);
  const { batchId } = await call({ all: true });
  await expand(db.asWorker, batchId ?? '', plenty);
  // It was on its way when the first call looked, and committed later: earlier than the place that was reached.
  const [early = ''] = await someCompanies(db, tenantId, campaignId, 1, { from: 20 });
  await db.query(sql('test.early')`
    update companies set created_at = created_at - interval '1 hour' where id = ${early}`);
  await call({ batchId: batchId ?? '', all: true, final: true });
  await expand(db.asWorker, batchId ?? '', plenty);
  expect(await jobs(batchId)).toBe(4);
});

test('a campaign that is being deleted takes no dispatch, whoever is first', async () => {
  const { campaignId, companyIds, call } = await aScene();
  let late: Promise<unknown> = Promise.resolve();
  await db.transaction(async (tx) => {
    await tx.query(sql('test.hold')`select id from campaigns where id = ${campaignId} for update`);
    await tx.query(sql('test.gone')`update campaigns set deleted_at = now() where id = ${campaignId}`);
    late = call({ companyIds }).then(
      () => 'taken',
      (error: { code?: string }) => error.code,
    );
    await untilBlocked(db);
  });
  expect(await late).toBe('not_found');
  expect(await call({ companyIds }, randomUUID()).catch((error) => error.code)).toBe('not_found');
});
