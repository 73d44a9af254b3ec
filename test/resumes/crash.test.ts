import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { sql } from '../../core/db/sql.ts';
import { endBatches } from '../../core/research/batches.ts';
import { deliverResumes } from '../../core/resumes/deliver.ts';
import { sendDueResumes } from '../../core/resumes/send.ts';
import { aConveyor } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';
import { aWaiting } from '../support/waiting.ts';
import type { Errand } from './child.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

/** @returns the failpoints it passed, or `killed` */
function runChild(errand: Errand): Promise<string[] | 'killed'> {
  return new Promise((resolve, reject) => {
    const child = join(import.meta.dirname ?? __dirname, 'child.ts');
    execFile(process.execPath, ['--no-warnings', child, JSON.stringify(errand)], (error, stdout, stderr) => {
      if (error?.signal === 'SIGKILL') resolve('killed');
      else if (error) reject(new Error(`the child failed: ${stderr}`));
      else resolve(JSON.parse(stdout));
    });
  });
}

/** A batch whose last job has ended, and one who waits for it. */
async function aScenario(does: Errand['does'], status: number) {
  const waiting = await aWaiting((count) => (count === 1 ? status : 200));
  const { tenantId, campaignId, provider } = await aWorld(db, { companies: 1 });
  const [batch] = await db.query<{ id: string }>(sql('crash.batch')`
    insert into research_batches (user_id, campaign_id, provider_id, kind, sealed_at, expanded_at, resume_url, resume_state)
    values (${tenantId}, ${campaignId}, ${provider.id}, 'company', now(), now(), ${waiting.url}, 'waiting') returning id`);
  const batchId = batch?.id ?? '';
  if (does !== 'end') await endBatches(db.asWorker, [batchId]);
  const conveyor = aConveyor(db);
  return {
    waiting,
    run: (dieAt?: number) =>
      runChild({ does, batchId, workerUrl: db.asWorker.url, ...(dieAt === undefined ? {} : { dieAt }) }),
    /** Time passes, the sweep comes by, and what is on the queue is delivered. */
    async heal() {
      for (let round = 0; round < 3; round++) {
        await endBatches(db.asWorker, [batchId]);
        await db.query(sql('crash.time')`
          update research_batches set resume_at = now(), resume_feed_at = now(),
            resume_lease_until = case when resume_lease_id is not null then now() - interval '1 second' end
          where id = ${batchId} and resume_state = 'due'`);
        await sendDueResumes(conveyor.deps, { hasTime: () => true });
        const ids = conveyor.deliveries.splice(0).flatMap(({ body }) => body.batchIds);
        await deliverResumes({ ...conveyor.deps, random: () => 1 }, ids, { remainingMs: () => 60_000 });
      }
      const [row] = await db.query<{ state: string }>(sql('crash.state')`
        select resume_state as state from research_batches where id = ${batchId}`);
      return { state: row?.state, asked: waiting.resumed.length };
    },
    async close() {
      await Promise.all([waiting.close(), conveyor.close()]);
    },
  };
}

test.each([
  { does: 'end', status: 200, mustPass: ['after batches.end', 'before the send', 'after the send'] },
  {
    does: 'deliver',
    status: 200,
    mustPass: ['after resumes.claim', 'after the POST', 'after resumes.settle'],
  },
  { does: 'deliver', status: 409, mustPass: ['after resumes.settle', 'before the send', 'after the send'] },
  {
    does: 'sweep',
    status: 200,
    mustPass: ['after resumes.end_waits', 'after resumes.feed', 'after the send'],
  },
] as const)(
  'a process killed at any point of $does ($status) leaves nobody asleep',
  async ({ does, status, mustPass }) => {
    const recorded = await aScenario(does, status);
    const points = await recorded.run();
    if (points === 'killed') throw new Error('the child that was to live was killed');
    expect(points).toEqual(expect.arrayContaining([...mustPass]));
    expect((await recorded.heal()).state).toBe('done');
    await recorded.close();

    for (let dieAt = 0; dieAt < points.length; dieAt++) {
      const scenario = await aScenario(does, status);
      const killed = await scenario.run(dieAt);
      const { state, asked } = await scenario.heal();
      await scenario.close();
      // Asked twice only by who had asked and had not written it down.
      const unwritten = ['after the POST', 'before resumes.settle'].includes(points[dieAt] ?? '');
      const most = unwritten || status === 409 ? 2 : 1;
      expect({ point: points[dieAt], killed, state, isOnce: asked >= 1 && asked <= most }).toEqual({
        point: points[dieAt],
        killed: 'killed',
        state: 'done',
        isOnce: true,
      });
    }
  },
  120_000,
);
