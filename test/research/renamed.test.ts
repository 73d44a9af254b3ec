import { upsertCompanies } from '../../core/companies/upsert.ts';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { dispatch } from '../../core/research/dispatch.ts';
import { settle } from '../../core/research/settle.ts';
import { untilBlocked } from '../support/blocked.ts';
import { countOf } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { completeAll } from '../support/provider.ts';
import { startRun } from '../support/run.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

test('research of a company that is renamed while its result is written is found by the new name', async () => {
  const run = await startRun(db, () => ({ status: 202 }), { companies: 1 });
  await run.conveyor.drain();
  const [job] = await run.jobs();
  const companyId = run.companyIds[0] ?? '';
  let settling: Promise<unknown> | undefined;
  await db.transaction(async (tx) => {
    await tx.query(sql('t')`select from research_jobs where id = ${job?.id} for update`);
    settling = settle(db.asWorker, [
      { jobId: job?.id ?? '', attemptId: job?.attempt_id ?? '', type: 'completed', summary: 'late' },
    ]);
    await untilBlocked(db);
    await tx.query(sql('t')`update companies set name = 'Renamed Ltd' where id = ${companyId}`);
  });
  expect(await settling).toHaveLength(1);
  const found = sql(
    'test.count',
  )`select count(*) from company_research r join companies c on c.id = r.company_id
    where r.company_id = ${companyId} and r.search_vector = c.search_vector
      and r.search_vector @@ to_tsquery('simple', 'renamed')`;
  expect(await countOf(db, found)).toBe(1);
  await run.close();
});

test('an import that renames companies while their answers are settled costs neither of them', async () => {
  const run = await startRun(db, completeAll, { companies: 12, batchSize: 100 });
  await run.conveyor.drain();
  const asked = () => run.remote.asks.reduce((sum, ask) => sum + ask.requests.length, 0);
  await run.conveyor.start(run.tenantId, run.campaignId, 'a-provider');
  const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  const names = [2, 10];
  const rows = names.map((n) => ({ name: `Renamed ${n}`, domain: `company-${n}.example` }));
  let dispatching: Promise<unknown> | undefined;
  let importing: Promise<unknown> | undefined;
  await db.transaction(async (tx) => {
    // Settling has come as far as the second company, and the import comes from the other side.
    await tx.query(sql('t')`select from company_research where company_id = ${run.companyIds[1]} for update`);
    dispatching = dispatch(run.conveyor.deps, ids, { remainingMs: () => 60_000 });
    await untilBlocked(db, 1);
    const api = { db: db.asApi.forTenant(run.tenantId) };
    importing = upsertCompanies(api, run.tenantId, { campaignId: run.campaignId, rows });
    await untilBlocked(db, 2);
  });
  await Promise.all([dispatching, importing]);
  expect((await run.jobs()).map((job) => job.status)).toEqual(Array(12).fill('completed'));
  expect(asked()).toBe(24);
  const renamed = sql(
    'test.count',
  )`select count(*) from companies c join company_research r on r.company_id = c.id
    where c.campaign_id = ${run.campaignId} and c.name like 'Renamed %' and r.search_vector = c.search_vector`;
  expect(await countOf(db, renamed)).toBe(2);
  await run.close();
});

test('answers that meet a deadlock are written once it is over', async () => {
  const run = await startRun(db, () => ({ status: 202 }), { companies: 2, batchSize: 10 });
  await run.conveyor.drain();
  const outcomes = (await run.jobs()).map((job) => ({
    jobId: job.id,
    attemptId: job.attempt_id ?? '',
    type: 'completed' as const,
  }));
  const refused = Object.assign(new Error('deadlock detected'), { code: '40P01' });
  let times = 2;
  const crossed: Db = {
    query: (statement) =>
      statement.statement === 'research.settle' && times-- > 0
        ? Promise.reject(refused)
        : db.asWorker.query(statement),
    transaction: (work) => db.asWorker.transaction(work),
  };
  expect(await settle(crossed, outcomes)).toHaveLength(2);
  times = Infinity;
  await expect(settle(crossed, outcomes)).rejects.toBe(refused);
  await run.close();
});
