import { runRestore } from '../../core/archive/restore.ts';
import { runArchive } from '../../core/archive/run.ts';
import type { Ran } from '../../core/archive/step.ts';
import type { Archive } from '../../core/contract/archives.ts';
import { sql } from '../../core/db/sql.ts';
import { type Api, aClient, anApi, type Client } from '../api/client.ts';
import { archived, archiver, aVariedCampaign, digestOf, evenly } from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aProvider } from '../support/factories.ts';

const t = sql('t');
let db: TestDatabase;
let api: Api;
let client: Client;
let providerId: string;
let campaignId: string;
let rows: number;
/** Moves on by itself, 40 ms from look to look, and as far as a test says. */
let now: number;
beforeAll(async () => {
  db = await testDatabase();
  api = anApi(db);
});
beforeEach(async () => {
  client = await aClient(db, api);
  providerId = (await aProvider(db, client.tenantId)).id;
  campaignId = await aVariedCampaign(db, client.tenantId, providerId, 12);
  const digests = Object.values(await digestOf(db, campaignId));
  rows = digests.reduce((sum, { count }) => sum + Number(count), 0);
  now = Date.parse('2026-01-01T00:00:00Z');
});
afterAll(() => db.close());

const clock = () => {
  now += 40;
  return now;
};
const begin = async (action: 'archive' | 'restore') =>
  (await client.post(`/v1/campaigns/${campaignId}/${action}`, {})).body as Archive;
const shown = async () => {
  const { body } = await client.get(`/v1/archives/${campaignId}`);
  const [listed] = (await client.get('/v1/archives')).body.data;
  expect(listed).toEqual(body);
  return body as Archive;
};
/** An invocation of one transaction. */
function step(run: (...args: Parameters<typeof runArchive>) => Promise<Ran>, rowsPerChunk = 7): Promise<Ran> {
  let left = 1;
  const options = { ...evenly(1, rowsPerChunk), remainingMs: () => (left-- > 0 ? 60_000 : 0) };
  return run({ ...archiver(db.asWorker), clock }, campaignId, options);
}
const nothingMoves = { rowsPerSecond: null, secondsLeft: null };

/** The states that a tenant sees, from transaction to transaction. */
async function watch(run: typeof runArchive): Promise<Archive[]> {
  const seen: Archive[] = [];
  for (let steps = 0; !(await step(run)).done; steps++) {
    expect(steps).toBeLessThan(200);
    seen.push(await shown());
  }
  return seen;
}
/** True of every look at what is under way. */
function expectPlausible(seen: Archive[]): void {
  let before = 0;
  for (const { rowsMoved, rowsTotal, rowsPerSecond, secondsLeft } of seen) {
    expect(rowsMoved).toBeGreaterThanOrEqual(before);
    expect(rowsTotal).toBeGreaterThanOrEqual(rowsMoved);
    if (rowsMoved === 0) expect({ rowsPerSecond, secondsLeft }).toEqual(nothingMoves);
    else {
      expect(rowsPerSecond).toBeGreaterThan(0);
      // From the rate before it is rounded.
      const left = ((rowsTotal ?? 0) - rowsMoved) / (rowsPerSecond ?? 0);
      expect(Math.abs((secondsLeft ?? -9) - left)).toBeLessThan(1 + left / 10);
    }
    before = rowsMoved;
  }
}

test('archiving: begun, on its way, whole', async () => {
  expect(await begin('archive')).toMatchObject({
    state: 'archiving',
    rowsMoved: 0,
    rowsTotal: null,
    totals: null,
    ...nothingMoves,
  });
  const seen = await watch(runArchive);
  expect(seen.length).toBeGreaterThan(20);
  expect(new Set(seen.map(({ state }) => state))).toEqual(new Set(['archiving']));
  expectPlausible(seen);
  // What is expected is close from the start, and right before the last table.
  for (const { rowsTotal } of seen) expect(Math.abs((rowsTotal ?? 0) - rows)).toBeLessThan(rows / 4);
  expect(seen.at(-1)).toMatchObject({ rowsTotal: rows, secondsLeft: 1 });
  expect(await shown()).toMatchObject({
    state: 'archived',
    rowsMoved: rows,
    rowsTotal: rows,
    totals: { companies: 12, contacts: 36, batches: 3 },
    ...nothingMoves,
  });
});

test('restoring: begun, verifying, on its way back', async () => {
  await begin('archive');
  await watch(runArchive);
  expect(await begin('restore')).toMatchObject({
    state: 'restoring',
    rowsMoved: 0,
    rowsTotal: rows,
    ...nothingMoves,
  });
  const seen = await watch(runRestore);
  expectPlausible(seen);
  expect(new Set(seen.map(({ rowsTotal }) => rowsTotal))).toEqual(new Set([rows]));
  expect(seen.filter(({ rowsMoved }) => rowsMoved === 0).length).toBeGreaterThan(5);
  expect(seen.at(-1)).toMatchObject({ state: 'restoring', rowsMoved: rows, secondsLeft: 0 });
  expect((await client.get(`/v1/archives/${campaignId}`)).status).toBe(404);
});

test('the time of verifying does not slow down the rate of a restore', async () => {
  await archived(db, client.tenantId, campaignId);
  await begin('restore');
  const verified = async () =>
    (
      await db.query<{ verified: boolean }>(t`
      select (progress ->> 'verified')::boolean as verified from archived_campaigns where id = ${campaignId}`)
    )[0]?.verified;
  const slow = { ...archiver(db.asWorker), clock: () => (now += 60_000) };
  while (!(await verified())) {
    let left = 1;
    await runRestore(slow, campaignId, { ...evenly(), remainingMs: () => (left-- > 0 ? 60_000 : 0) });
  }
  await step(runRestore);
  const { rowsMoved, rowsPerSecond } = await shown();
  expect(rowsMoved).toBe(12);
  // In a few looks at the clock; the minutes before are not its time.
  expect(rowsPerSecond).toBeGreaterThan(50);
});

test('a pause between two invocations counts in no rate, and in it nothing moves', async () => {
  await begin('archive');
  for (let n = 0; n < 6; n++) await step(runArchive);
  const before = await shown();
  expect(before.rowsMoved).toBeGreaterThan(0);
  // A night without anybody at it: what was moved still shows, a rate does not.
  await db.query(
    t`update archived_campaigns set updated_at = now() - interval '3 minutes' where id = ${campaignId}`,
  );
  expect(await shown()).toMatchObject({
    state: 'archiving',
    rowsMoved: before.rowsMoved,
    rowsTotal: before.rowsTotal,
    ...nothingMoves,
  });
  now += 24 * 60 * 60 * 1000;
  await step(runArchive);
  const after = await shown();
  expect(after.rowsPerSecond).toBeGreaterThan((before.rowsPerSecond ?? 0) / 2);
  expect(after.secondsLeft).toBeLessThan(60);
});

test('an empty campaign is whole at once, and so it comes back', async () => {
  campaignId = await client.campaign();
  expect(await begin('archive')).toMatchObject({ rowsMoved: 0, rowsTotal: null, ...nothingMoves });
  await step(runArchive);
  expect(await shown()).toMatchObject({ state: 'archiving', rowsMoved: 0, rowsTotal: 0, ...nothingMoves });
  await watch(runArchive);
  const whole = await shown();
  expect(whole).toMatchObject({ state: 'archived', rowsMoved: 0, rowsTotal: 0, ...nothingMoves });
  expect(Object.values(whole.totals ?? { none: 1 })).toEqual(Array(8).fill(0));
  expect(await begin('restore')).toMatchObject({
    state: 'restoring',
    rowsMoved: 0,
    rowsTotal: 0,
    ...nothingMoves,
  });
  await watch(runRestore);
});

test('a restore that is given up shows the archive whole again', async () => {
  await archived(db, client.tenantId, campaignId);
  await db.query(
    t`update archive_chunks set sha256 = sha256('x') where archive_id = ${campaignId} and table_name = 'contacts'`,
  );
  await begin('restore');
  await expect(watch(runRestore)).rejects.toMatchObject({ code: 'archive_damaged' });
  expect(await shown()).toMatchObject({
    state: 'archived',
    rowsMoved: rows,
    rowsTotal: rows,
    ...nothingMoves,
  });
});

test('rows that do not come back, for their provider is gone, are not waited for', async () => {
  await archived(db, client.tenantId, campaignId);
  await db.query(t`delete from research_providers where id = ${providerId}`);
  await begin('restore');
  const seen = await watch(runRestore);
  expectPlausible(seen);
  const back = Object.values(await digestOf(db, campaignId)).reduce(
    (sum, { count }) => sum + Number(count),
    0,
  );
  expect(back).toBeLessThan(rows);
  expect(seen.at(-1)).toMatchObject({ rowsMoved: back, rowsTotal: back, secondsLeft: 0 });
});
