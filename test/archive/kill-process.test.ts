import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { runRestore, startRestore } from '../../core/archive/restore.ts';
import { runArchive } from '../../core/archive/run.ts';
import { startArchive } from '../../core/archive/start.ts';
import { sql } from '../../core/db/sql.ts';
import { archiver, aVariedCampaign, digestOf, evenly, whereabouts } from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';

let db: TestDatabase;
let tenantId: string;
let campaignId: string;
beforeAll(async () => {
  db = await testDatabase();
  const world = await aWorld(db, { companies: 1 });
  tenantId = world.tenantId;
  campaignId = await aVariedCampaign(db, tenantId, world.provider.id, 3);
});
afterAll(() => db.close());

/** @returns the last statement it was answered */
async function killedAt(what: 'archive' | 'restore', statement: number): Promise<string> {
  const script = ['test/support/archive-process.ts', db.asWorker.url, campaignId, what, String(statement)];
  const child = spawn(process.execPath, script, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(createInterface(child.stdout), 'line');
  child.kill('SIGKILL');
  const [, signal] = child.signalCode ? [null, child.signalCode] : await once(child, 'exit');
  expect(signal).toBe('SIGKILL');
  return String(line);
}

test('a process that is killed, archiving or restoring, loses no row and leaves nothing locked', async () => {
  const whole = await digestOf(db, campaignId);
  const count = Object.values(whole).reduce((sum, row) => sum + Number(row.count), 0);
  const conserved = async () =>
    (await whereabouts(db, campaignId)).reduce((sum, { active, archived }) => sum + active + archived, 0);
  const killed: string[] = [];
  for (const statement of [3, 6, 8, 20, 41, 60]) {
    await startArchive(db.asWorker, tenantId, campaignId, { cancelOpenJobs: false });
    killed.push(await killedAt('archive', statement));
    expect(await conserved()).toBe(count);
    await runArchive(archiver(db.asWorker), campaignId, evenly());
    expect(await conserved()).toBe(count);
    await startRestore(db.asWorker, tenantId, campaignId);
    killed.push(await killedAt('restore', statement));
    expect(await conserved()).toBe(count);
    await runRestore(archiver(db.asWorker), campaignId, evenly());
    expect(await digestOf(db, campaignId)).toEqual(whole);
  }
  expect(killed).toHaveLength(12);
  expect(killed.filter((name) => name === 'done')).toEqual([]);
  const open = await db.query(sql('t')`
    select pid from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'`);
  expect(open).toEqual([]);
}, 120_000);
