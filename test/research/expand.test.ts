import { sql } from '../../core/db/sql.ts';
import { expand } from '../../core/research/batches.ts';
import { type EnqueueRequest, enqueue } from '../../core/research/enqueue.ts';
import { expandUnfinished } from '../../core/research/overdue.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld, someCompanies } from '../support/factories.ts';

/** Two chunks and a bit. */
const companies = 20_005;
let db: TestDatabase;
beforeEach(async () => {
  db = await testDatabase();
});
afterEach(() => db.close());

const whole = { provider: 'a-provider', kind: 'company', priority: 0, dryRun: false };
const all: EnqueueRequest = { ...whole, all: true, final: true };
const plenty = { budgetMs: 60_000 };

async function stateOf(batchId: string) {
  const [row] = await db.query(sql('test.state')`
    select total, expanded_at is not null as expanded,
      (select count(distinct company_id) from research_jobs where batch_id = b.id) as jobs
    from research_batches b where id = ${batchId}`);
  return row;
}
const made = { total: companies, jobs: companies, expanded: true };

test.each(['API', 'worker'])(
  'a batch that was given some companies by name, and then all, has each once: %s',
  async (role) => {
    const { tenantId, campaignId, companyIds } = await aWorld(db, { companies });
    const api = db.asApi.forTenant(tenantId);
    // One in each chunk.
    const named = [companyIds[3], companyIds[12_345], companyIds[companies - 1]] as string[];
    const some: EnqueueRequest = { ...whole, companyIds: named, final: false };
    const { batchId = '' } = (await enqueue(api, tenantId, campaignId, some)) as { batchId: string };
    await enqueue(api, tenantId, campaignId, { ...all, batchId });
    expect(await stateOf(batchId)).toEqual({ total: 3, jobs: 3, expanded: false });
    expect(await expand(role === 'API' ? api : db.asWorker, batchId, plenty)).toBe(true);
    expect(await stateOf(batchId)).toEqual(made);
  },
);

test('several that make the jobs of one batch at once make each once', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies });
  const { batchId } = await enqueue(db.asApi.forTenant(tenantId), tenantId, campaignId, all);
  const id = batchId ?? '';
  const done = await Promise.all([1, 2, 3].map(() => expand(db.asWorker, id, plenty)));
  expect([done, await stateOf(id)]).toEqual([[true, true, true], made]);
});

test('unfinished batches grow by turns for as long as there is time, and not once each', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies });
  const { batchId } = await enqueue(db.asApi.forTenant(tenantId), tenantId, campaignId, all);
  let now = Date.now();
  // Each chunk takes longer than a turn.
  const clock = jest.spyOn(Date, 'now').mockImplementation(() => {
    now += 3_000;
    return now;
  });
  let turns = 0;
  await expandUnfinished(db.asWorker, { hasTime: () => ++turns <= 2 });
  const once = await stateOf(batchId ?? '');
  await expandUnfinished(db.asWorker, { hasTime: () => true });
  clock.mockRestore();
  expect(once).toEqual({ total: 10_000, jobs: 10_000, expanded: false });
  expect(await stateOf(batchId ?? '')).toEqual(made);
});

test('what is refused for another reason is told, and leaves nothing behind', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 3 });
  const { batchId } = await enqueue(db.asApi.forTenant(tenantId), tenantId, campaignId, all);
  await db.query(sql('test.refuse')`
    create unique index one_priority on research_jobs (batch_id, priority)`);
  await expect(expand(db.asWorker, batchId ?? '', plenty)).rejects.toMatchObject({
    constraint: 'one_priority',
  });
  expect(await stateOf(batchId ?? '')).toEqual({ total: 0, jobs: 0, expanded: false });
});

test('a second call with all takes in the companies that came since, and counts each once', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 3 });
  const api = db.asApi.forTenant(tenantId);
  const first = await enqueue(api, tenantId, campaignId, { ...all, final: false });
  const batchId = first.batchId ?? '';
  expect(first).toMatchObject({ accepted: 3, deduplicated: 0 });
  expect(await expand(db.asWorker, batchId, plenty)).toBe(true);
  const [, late] = await someCompanies(db, tenantId, campaignId, 2, { from: 10 });
  await enqueue(api, tenantId, campaignId, { ...whole, batchId, companyIds: [late ?? ''], final: false });
  const again = { accepted: 1, deduplicated: 4 };
  expect(await enqueue(api, tenantId, campaignId, { ...all, batchId, dryRun: true })).toMatchObject(again);
  expect(await enqueue(api, tenantId, campaignId, { ...all, batchId })).toMatchObject(again);
  expect(await expand(db.asWorker, batchId, plenty)).toBe(true);
  expect(await stateOf(batchId)).toEqual({ total: 5, jobs: 5, expanded: true });
});

test('a dry run with a batch is refused as the real one is', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 2 });
  const api = db.asApi.forTenant(tenantId);
  const dry = (batchId: string) => enqueue(api, tenantId, campaignId, { ...all, batchId, dryRun: true });
  await expect(dry('01a22300-0000-7000-8000-000000000000')).rejects.toMatchObject({ code: 'not_found' });
  const { batchId } = await enqueue(api, tenantId, campaignId, all);
  await expect(dry(batchId ?? '')).rejects.toMatchObject({ code: 'batch_sealed' });
});

test('what may run in a month has a week from then', async () => {
  const { tenantId, campaignId, companyIds } = await aWorld(db, { companies: 1 });
  const api = db.asApi.forTenant(tenantId);
  const runAt = new Date(Date.now() + 30 * 86_400_000).toISOString();
  const { batchId } = await enqueue(api, tenantId, campaignId, { ...whole, companyIds, final: true, runAt });
  const soon = await enqueue(api, tenantId, campaignId, { ...whole, companyIds, final: true });
  const deadlines = await db.query(sql('test.deadlines')`
    select (deadline - run_at)::text as left from research_batches where id in (${batchId}, ${soon.batchId})`);
  expect(deadlines).toEqual([{ left: '7 days' }, { left: '7 days' }]);
});

test('a later call has the time and priority of its batch, repeated or left out, and is refused with others', async () => {
  const { tenantId, campaignId, companyIds } = await aWorld(db, { companies: 4 });
  const api = db.asApi.forTenant(tenantId);
  const [kind, runAt] = ['company', '2030-01-01T00:00:00.000Z'];
  const call = (index: number, more: Partial<EnqueueRequest>) =>
    enqueue(api, tenantId, campaignId, {
      ...{ provider: 'a-provider', kind, dryRun: false, final: false },
      companyIds: companyIds.slice(index, index + 1),
      ...more,
    });
  const { batchId } = await call(0, { runAt, priority: 3 });
  const add = (index: number, more: Partial<EnqueueRequest> = {}) =>
    call(index, { ...more, batchId: batchId ?? '' });
  await add(1, { runAt, priority: 3 });
  await add(2);
  for (const [field, other] of [
    ['runAt', { runAt: '2031-01-01T00:00:00.000Z' }],
    ['priority', { priority: 9 }],
    ['priority', { priority: 0, dryRun: true }],
  ] as const) {
    await expect(add(3, other)).rejects.toMatchObject({
      code: 'batch_mismatch',
      message: expect.stringContaining(`another ${field}`),
    });
  }
  const jobs = await db.query(sql('test.jobs')`
    select priority, extract(year from run_at at time zone 'utc')::int as year from research_jobs where batch_id = ${batchId}`);
  expect(jobs).toEqual(Array(3).fill({ priority: 3, year: 2030 }));
});
