import { sql } from '../../core/db/sql.ts';
import { claim } from '../../core/research/claim.ts';
import { readResult } from '../../core/research/result.ts';
import { type Outcome, settle } from '../../core/research/settle.ts';
import { aConveyor, jobsOf } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

/** Jobs in work, the answer to the first of them and what the others found. */
async function answered(error: { code: string; message: string; retryable?: boolean }) {
  const { tenantId, campaignId } = await aWorld(db, { companies: 4 });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  const ids = (await jobsOf(db, batchId)).map(({ id }) => id);
  const asks = await claim(db.asWorker, ids, { leaseSeconds: 60 });
  await conveyor.close();
  const [first, ...others] = asks.flatMap((ask) => ask.jobs);
  if (!first) throw new Error('no job was claimed');
  const read = readResult({ jobId: first.id, attemptId: first.attempt_id, status: 'failed', error }, 0);
  if (!('outcome' in read)) throw new Error('not a result');
  const found = others.map(
    (job): Outcome => ({ jobId: job.id, attemptId: job.attempt_id, type: 'completed' }),
  );
  return {
    first,
    outcome: read.outcome,
    found,
    states: async () => (await jobsOf(db, batchId)).map(({ status }) => status).sort(),
  };
}

// An emoji is two units of a string in JavaScript; one of them is not a text that Postgres takes.
const longMessage = `${'a'.repeat(1_999)}😀`;

test.each(['invalid_result', 'upset'])(
  'a message that is cut in a character is kept, and all else with it: %s',
  async (code) => {
    const { outcome, found, states } = await answered({ code, message: longMessage });
    expect(await settle(db.asWorker, [...found.slice(0, 1), outcome, ...found.slice(1)])).toHaveLength(4);
    expect(await states()).toEqual(['completed', 'completed', 'completed', 'failed']);
    const kept = await db.query(sql('test.kept')`
    select error_code, length(error_message) as length from research_jobs where id = ${outcome.jobId}`);
    expect(kept).toEqual([{ error_code: code, length: 2_000 }]);
  },
);

test('one that would be retried still is', async () => {
  const { outcome, found, states } = await answered({ code: 'busy', message: longMessage, retryable: true });
  await settle(db.asWorker, [outcome, ...found]);
  expect(await states()).toEqual(['completed', 'completed', 'completed', 'queued']);
});

test('what Postgres refuses fails its own job, whatever the provider calls it, and harms no other', async () => {
  const { outcome, found, states } = await answered({ code: 'invalid_result', message: 'none' });
  const refused = { ...outcome, errorMessage: 'half a pair: \ud83d' };
  expect(await settle(db.asWorker, [...found.slice(0, 2), refused, ...found.slice(2)])).toHaveLength(4);
  expect(await states()).toEqual(['completed', 'completed', 'completed', 'failed']);
});

const nested = (depth: number) => JSON.parse('['.repeat(depth) + ']'.repeat(depth)) as unknown;

test.each([300, 600, 4_385, 100_000])('a result nested %d deep is stored or fails alone', async (depth) => {
  const { first, found, states } = await answered({ code: 'none', message: 'none' });
  const research = depth > 10_000 ? deepObject(depth) : nested(depth);
  const given = { jobId: first.id, attemptId: first.attempt_id, status: 'completed', research };
  const read = readResult({ ...given, prospects: [{ email: 'a@b.example', attributes: { research } }] }, 0);
  if (!('outcome' in read)) throw new Error('not a result');
  expect(read.outcome.type).toBe(depth < 500 ? 'completed' : 'failed');
  expect(await settle(db.asWorker, [...found, read.outcome])).toHaveLength(4);
  expect((await states()).filter((state) => state === 'completed')).toHaveLength(depth < 500 ? 4 : 3);
});

/** JSON.parse reads it, JSON.stringify does not write it. */
function deepObject(depth: number): unknown {
  let value: unknown = {};
  for (let at = 0; at < depth; at++) value = { value };
  return value;
}

test('a result counts as what Postgres writes it out as: 1e308 is 309 digits', () => {
  const typeOf = (research: unknown) => {
    const read = readResult({ jobId, attemptId: jobId, status: 'completed', research }, 0);
    return 'outcome' in read && read.outcome.type;
  };
  const jobId = '018f3b1c-7c1e-7000-8000-000000000001';
  const numbers = (count: number, value: number) => ({ findings: Array(count).fill(value) });
  expect(typeOf(numbers(3_500, 1e308))).toBe('failed');
  expect(typeOf(numbers(3_000, -1e-300))).toBe('completed');
  expect(typeOf(numbers(200_000, 0.25))).toBe('completed');
});

test('an error of the database says nothing of what the rows hold', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 1 });
  const insert = sql('test.contact')`
    insert into contacts (user_id, campaign_id, full_name, email) values (${tenantId}, ${campaignId}, 'Ada', 'ada@secret.example')`;
  await db.query(insert);
  const error = await db.query(insert).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code: '23505' });
  expect(JSON.stringify(error) + String(error)).not.toContain('ada@secret.example');
});
