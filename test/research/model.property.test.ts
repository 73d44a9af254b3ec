import fc from 'fast-check';
import { sql } from '../../core/db/sql.ts';
import { wrongCounts } from '../support/counts.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { type Step, step, take } from './model/steps.ts';
import { aModel, concurrency, isOpen, type Model } from './model/world.ts';

// Four databases side by side, because a sweep's steps reach every job there is.
const shards = 4;
const historiesPerShard = 250;
const stepsPerHistory = 50;

let databases: TestDatabase[];
beforeAll(async () => {
  databases = await Promise.all(Array.from({ length: shards }, () => testDatabase()));
});
afterAll(() => Promise.all(databases.map((db) => db.close())));

test('whatever happens to a job, in whatever order, it is where the model says, and ends once', async () => {
  await Promise.all(
    databases.map((db) =>
      fc.assert(
        fc.asyncProperty(
          fc.array(step, { minLength: stepsPerHistory, maxLength: stepsPerHistory }),
          (steps) => live(db, steps),
        ),
        { numRuns: historiesPerShard, endOnFailure: false },
      ),
    ),
  );
}, 600_000);

async function live(db: TestDatabase, steps: Step[]): Promise<void> {
  const model = await aModel(db);
  for (const each of steps) {
    const ended = model.all().filter((job) => !isOpen(job));
    const before = ended.map((job) => ({ ...job }));
    await take(model, each);
    expect(ended).toEqual(before);
    await compare(model);
  }
  await model.heal();
  await compare(model);
  expect(model.all().some(isOpen)).toBe(false);
  expect(await batchOf(model)).toEqual({ status: 'completed', sealed: true });
  expect(await wrongCounts(model.db)).toEqual([]);
  await model.close();
}

async function batchOf(model: Model) {
  const [row] = await model.db.query<{ status: string; sealed: boolean }>(sql('model.batch')`
    select status, sealed_at is not null as sealed from research_batches where id = ${model.batchId}`);
  return row;
}

/** I1, I2, I3 and the permits, after every step. */
async function compare(model: Model): Promise<void> {
  const rows = await model.db.query<Record<string, unknown>>(sql('model.compare')`
    select j.id, j.status, j.attempt_id as attempt, j.accepted_at is not null as accepted, j.retry_count as retries,
      j.throttle_count as throttles, j.crash_count as crashes, j.fed_until is not null as fed,
      (select coalesce(sum(r.generation), 0)::int from company_research r where r.job_id = j.id) as results
    from research_jobs j where j.batch_id = ${model.batchId} order by j.id`);
  expect(rows).toEqual(model.all().sort((a, b) => (a.id < b.id ? -1 : 1)));
  expect(rows.filter((row) => row.status === 'processing').length).toBeLessThanOrEqual(concurrency);
  const batch = await batchOf(model);
  if (batch?.status === 'completed') {
    expect(batch.sealed).toBe(true);
    expect(model.all().some(isOpen)).toBe(false);
  }
}
