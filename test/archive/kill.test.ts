import { runRestore, startRestore } from '../../core/archive/restore.ts';
import { runArchive } from '../../core/archive/run.ts';
import { startArchive } from '../../core/archive/start.ts';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { archiver, aVariedCampaign, digestOf, evenly, whereabouts } from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { dying } from '../support/dying.ts';
import { aWorld } from '../support/factories.ts';

let db: TestDatabase;
let tenantId: string;
let campaignId: string;
let whole: Awaited<ReturnType<typeof digestOf>>;
beforeAll(async () => {
  db = await testDatabase();
  const world = await aWorld(db, { companies: 1 });
  tenantId = world.tenantId;
  campaignId = await aVariedCampaign(db, tenantId, world.provider.id, 3);
  whole = await digestOf(db, campaignId);
});
afterAll(() => db.close());

// Several chunks a table, some of them in one transaction.
const options = evenly(3, 2);
const archive = async (at: Db) => {
  await startArchive(at, tenantId, campaignId, { cancelOpenJobs: true });
  return runArchive(archiver(at), campaignId, options);
};
const restore = async (at: Db) => {
  await startRestore(at, tenantId, campaignId);
  return runRestore(archiver(at), campaignId, options);
};

/** Each row is in one place, and in one place alone. */
async function conserved() {
  const rows = await whereabouts(db, campaignId);
  return Object.fromEntries(rows.map(({ table, active, archived }) => [table, active + archived]));
}
const tables = Array.from({ length: 8 });
const all = () =>
  Object.fromEntries(Object.entries(whole).map(([table, { count }]) => [table, Number(count)]));

/** Dies at each statement in turn, alternately before it reaches the server and after; commits in both ways. */
async function killAtEach(
  prepare: () => Promise<unknown>,
  work: (at: Db) => Promise<unknown>,
  finish: () => Promise<unknown>,
) {
  let kills = 0;
  const died = new Set<string>();
  for (let at = 1; ; at++) {
    let last = false;
    for (const when of ['after', 'before'] as const) {
      await prepare();
      const process = dying(db.asWorker, db, at, when);
      const outcome = await work(process.db).then(
        () => 'done',
        () => 'died',
      );
      const name = process.seen.names.at(-1) ?? '';
      last = outcome === 'done';
      if (!last) {
        kills++;
        died.add(`${when} ${name}`);
        expect([at, when, name, await conserved()]).toEqual([at, when, name, all()]);
      }
      await finish();
      expect([at, when, name, await digestOf(db, campaignId)]).toEqual([at, when, name, whole]);
      // What dies before any other statement dies after the one ahead of it.
      if (last || name !== 'commit') break;
    }
    if (last) return { kills, died };
  }
}

test('an archiver that dies at any statement loses no row, and the next one goes on from there', async () => {
  const { kills, died } = await killAtEach(
    async () => undefined,
    archive,
    async () => {
      await archive(db.asWorker);
      expect(await whereabouts(db, campaignId)).toMatchObject(tables.map(() => ({ active: 0 })));
      await restore(db.asWorker);
    },
  );
  expect(kills).toBeGreaterThan(100);
  expect([...died]).toEqual(
    expect.arrayContaining([
      'before commit',
      'after commit',
      'after archive.write.contacts',
      'after archive.delete.contacts',
    ]),
  );
}, 300_000);

test('a restore that dies at any statement loses no row, and the next one goes on from there', async () => {
  const { kills, died } = await killAtEach(
    () => archive(db.asWorker),
    restore,
    async () => {
      // It may have died after its last commit.
      if (await isArchived()) await restore(db.asWorker);
    },
  );
  expect(kills).toBeGreaterThan(100);
  expect([...died]).toEqual(
    expect.arrayContaining([
      'before commit',
      'after commit',
      'after restore.write.contacts',
      'after restore.forget',
    ]),
  );
}, 300_000);

async function isArchived(): Promise<boolean> {
  const archives = await db.query(sql('t')`select id from archived_campaigns where id = ${campaignId}`);
  return archives.length > 0;
}
