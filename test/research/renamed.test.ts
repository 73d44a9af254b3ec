import { sql } from '../../core/db/sql.ts';
import { settle } from '../../core/research/settle.ts';
import { untilBlocked } from '../support/blocked.ts';
import { countOf } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
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
