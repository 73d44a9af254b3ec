import fc from 'fast-check';
import type { Reads } from '../../bench/schema/explain.ts';
import { reconcile } from '../../core/campaigns/counts/reconcile.ts';
import { type Connection, connect } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { closeBatches, endBatches } from '../../core/research/batches.ts';
import { countJobs, foldBatchCounts } from '../../core/research/counts.ts';
import { untilBlocked } from '../support/blocked.ts';
import { aConveyor } from '../support/conveyor.ts';
import { wrongCounts } from '../support/counts.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';
import { completeAll } from '../support/provider.ts';
import { explaining, rowsOf as rowsRead } from '../support/reads.ts';
import { startRun } from '../support/run.ts';

let db: TestDatabase;
let second: Connection;
beforeAll(async () => {
  db = await testDatabase({ max: 8 });
  second = connect(db.url, { max: 1 });
});
afterAll(async () => {
  await second.close();
  await db.close();
});

const budget = { budgetMs: 5_000 };
const rowsOf = (batchId: string) =>
  db.query<{ folded: boolean }>(sql('t')`select folded from batch_counts where batch_id = ${batchId}`);

/** As the API does, between two sweeps. @returns how many rows are gone */
const foldOne = async (tenantId: string, batchId: string) => {
  const [row] = await db.asApi.forTenant(tenantId).query<{ rows: number }>(sql('t')`
    select aim.fold_counts(${tenantId}, ${batchId}) as rows`);
  return row?.rows;
};

/** What as many statements left that moved a job there and back. */
const moveToAndFro = (batchId: string, rows: number) =>
  db.query(sql('t')`
    insert into batch_counts (user_id, batch_id, queued, processing, completed, failed, cancelled, retries)
    select user_id, id, 1 - n % 2 * 2, n % 2 * 2 - 1, 0, 0, 0, 0
    from research_batches, generate_series(1, ${rows}::int) n where id = ${batchId}`);

test('a batch is counted by state, with its retries, however its jobs went', async () => {
  let asked = 0;
  const run = await startRun(
    db,
    (ask) => {
      if (asked++ < 2) return { status: 500 };
      const { results } = completeAll(ask).body as { results: { jobId: string; attemptId: string }[] };
      return {
        status: 200,
        body: {
          results: results.map((result, n) =>
            n % 2 === 0
              ? result
              : {
                  jobId: result.jobId,
                  attemptId: result.attemptId,
                  status: 'failed',
                  error: { code: 'x', message: 'no' },
                },
          ),
        },
      };
    },
    { companies: 20, batchSize: 10 },
  );
  await run.conveyor.drain();
  const [counts] = (await countJobs(db, [run.batchId])).values();
  expect(counts).toEqual({ queued: 0, processing: 0, completed: 10, failed: 10, cancelled: 0, retries: 20 });
  expect(await wrongCounts(db)).toEqual([]);
  await run.close();
});

test('a fold leaves one row of a batch and changes no count; what comes next is added to it', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 6 });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  await db.query(sql('t')`update research_jobs set status = 'cancelled', finished_at = now(), fed_until = null
    where id in (select id from research_jobs where batch_id = ${batchId} limit 2)`);
  await foldBatchCounts(db.asWorker, budget);
  expect(await rowsOf(batchId)).toEqual([{ folded: true }]);
  await db.query(sql('t')`update research_jobs set status = 'cancelled', finished_at = now(), fed_until = null
    where id in (select id from research_jobs where batch_id = ${batchId} and status = 'queued' limit 1)`);
  expect(await rowsOf(batchId)).toHaveLength(2);
  await foldBatchCounts(db.asWorker, budget);
  expect(await rowsOf(batchId)).toEqual([{ folded: true }]);
  expect((await countJobs(db, [batchId])).get(batchId)).toMatchObject({ queued: 3, cancelled: 3 });
  expect(await foldBatchCounts(db.asWorker, budget)).toBe(0);
  await conveyor.close();
});

test('feeding appends nothing to the counts, and claiming a row for each batch', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 4 });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  expect(conveyor.sent).toHaveLength(1);
  expect(await rowsOf(batchId)).toHaveLength(1);
  await db.query(sql(
    't',
  )`update research_jobs set status = 'processing', attempt_id = id, lease_until = now(), fed_until = null
    where batch_id = ${batchId}`);
  expect(await rowsOf(batchId)).toHaveLength(2);
  await conveyor.close();
});

test('a batch takes its counts along, whoever comes first, its deletion or a fold', async () => {
  for (const first of ['deletion', 'fold', 'both'] as const) {
    const { tenantId, campaignId } = await aWorld(db, { companies: 3 });
    const conveyor = aConveyor(db);
    const batchId = await conveyor.start(tenantId, campaignId);
    const remove = (by: Connection) => by.query(sql('t')`delete from research_batches where id = ${batchId}`);
    if (first === 'fold') await foldBatchCounts(db.asWorker, budget);
    if (first === 'both') await Promise.all([remove(second), foldBatchCounts(db.asWorker, budget)]);
    else await remove(db);
    await foldBatchCounts(db.asWorker, budget);
    expect(await rowsOf(batchId)).toEqual([]);
    await conveyor.close();
  }
});

test('a deletion that a fold runs into leaves nothing behind, and the other way round', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 3 });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  let folding: Promise<number> | undefined;
  await second.transaction(async (tx) => {
    await tx.query(sql('t')`delete from research_batches where id = ${batchId}`);
    folding = foldBatchCounts(db.asWorker, budget);
    await new Promise((resolve) => setTimeout(resolve, 100));
  });
  await folding;
  await foldBatchCounts(db.asWorker, budget);
  expect(await rowsOf(batchId)).toEqual([]);
  await conveyor.close();
});

test('a fold waits for nobody, so nobody waits behind it for a batch that another holds', async () => {
  const ids: string[] = [];
  for (let n = 0; n < 2; n++) {
    const { tenantId, campaignId } = await aWorld(db, { companies: 3 });
    const conveyor = aConveyor(db);
    ids.push(await conveyor.start(tenantId, campaignId));
    await conveyor.close();
  }
  const [first = '', last = ''] = ids.sort();
  await db.query(sql('t')`update research_jobs set status = 'cancelled', finished_at = now(), fed_until = null
    where batch_id = any(${ids}::uuid[])`);
  const order: string[] = [];
  await second.transaction(async (tx) => {
    await tx.query(sql('t')`select from research_batches where id = ${last} for update`);
    await foldBatchCounts(db.asWorker, budget);
    order.push('folded');
    await endBatches(db.asWorker, [first]);
    order.push('ended');
  });
  expect(order).toEqual(['folded', 'ended']);
  expect([await rowsOf(first), await rowsOf(last)]).toEqual([
    [{ folded: true }],
    [{ folded: false }, { folded: false }],
  ]);
  await foldBatchCounts(db.asWorker, budget);
  expect(await rowsOf(last)).toEqual([{ folded: true }]);
  expect(await wrongCounts(db)).toEqual([]);
});

test('a batch that goes while its jobs are being moved leaves no counts', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 3 });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  let going: Promise<unknown> | undefined;
  await second.transaction(async (tx) => {
    await tx.query(sql(
      't',
    )`update research_jobs set status = 'cancelled', finished_at = now(), fed_until = null
      where batch_id = ${batchId}`);
    going = db.query(sql('t')`delete from research_batches where id = ${batchId}`);
    await untilBlocked(db);
  });
  await going;
  expect(await rowsOf(batchId)).toEqual([]);
  await conveyor.close();
});

test('counts that are off are found with their campaign, told, and put right', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 3 });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  const empty = await conveyor.start(tenantId, campaignId);
  await db.query(
    sql('t')`update batch_counts set queued = queued + 2, failed = 1 where batch_id = ${batchId}`,
  );
  await db.query(sql('t')`delete from batch_counts where batch_id = ${empty}`);
  const off = [
    { campaignId, batchId, entity: 'failed', shown: 1, actual: 0 },
    { campaignId, batchId, entity: 'queued', shown: 5, actual: 3 },
    { campaignId, batchId: empty, entity: 'queued', shown: 0, actual: 3 },
  ];
  const prove = async (repair: boolean) => {
    const proof = await reconcile(db.asWorker, { campaignIds: [campaignId], repair, budgetMs: 5_000 });
    return proof.off.sort((a, b) => (`${a.batchId}${a.entity}` < `${b.batchId}${b.entity}` ? -1 : 1));
  };
  expect(await prove(false)).toEqual(off);
  expect(await prove(true)).toEqual(off);
  expect(await prove(true)).toEqual([]);
  expect(await wrongCounts(db)).toEqual([]);
  await conveyor.close();
});

test('counts are those of COUNT(*) in every snapshot, rollbacks and folds included', async () => {
  const worlds = await Promise.all([0, 1, 2].map(() => aWorld(db, { companies: 30 })));
  const conveyor = aConveyor(db);
  const batches = await Promise.all(
    worlds.map(({ tenantId, campaignId }) => conveyor.start(tenantId, campaignId)),
  );
  const states = ['queued', 'processing', 'completed', 'failed', 'cancelled'] as const;
  const move = fc.record({
    batch: fc.nat({ max: 2 }),
    to: fc.constantFrom(...states, 'gone', 'retried'),
    rows: fc.integer({ min: 1, max: 9 }),
    commits: fc.boolean(),
  });
  const apply = async ({
    batch,
    to,
    rows,
    commits,
  }: {
    batch: number;
    to: string;
    rows: number;
    commits: boolean;
  }) => {
    const some = sql.fragment`(select id from research_jobs where batch_id = ${batches[batch]}
      order by random() limit ${rows} for update skip locked)`;
    await db
      .transaction(async (tx) => {
        if (to === 'gone') await tx.query(sql('t')`delete from research_jobs where id in ${some}`);
        else if (to === 'retried')
          await tx.query(
            sql('t')`update research_jobs set retry_count = retry_count + 1 where id in ${some}`,
          );
        else
          await tx.query(sql('t')`
            update research_jobs set status = ${to}, fed_until = null, accepted_at = null,
              attempt_id = case when ${to} = 'processing' then id end,
              lease_until = case when ${to} = 'processing' then now() end,
              error_code = case when ${to} = 'failed' then 'x' end,
              finished_at = case when ${to} in ('completed', 'failed', 'cancelled') then now() end
            where id in ${some}`);
        if (!commits) throw new Error('rolled back');
      })
      .catch((error: Error) => {
        if (error.message !== 'rolled back') throw error;
      });
  };
  await fc.assert(
    fc.asyncProperty(fc.array(move, { minLength: 8, maxLength: 16 }), async (moves) => {
      let busy = true;
      const watching = (async () => {
        const wrong: unknown[] = [];
        while (busy) wrong.push(...(await wrongCounts(second)));
        return wrong;
      })();
      const half = moves.length / 2;
      await Promise.all([
        Promise.all(moves.slice(0, half).map(apply)),
        foldBatchCounts(db.asWorker, budget),
        foldBatchCounts(db.asWorker, budget),
        Promise.all(worlds.map(({ tenantId }, n) => foldOne(tenantId, batches[n] ?? ''))),
      ]);
      await Promise.all([
        Promise.all(moves.slice(half).map(apply)),
        foldBatchCounts(db.asWorker, budget),
        Promise.all(worlds.map(({ tenantId }, n) => foldOne(tenantId, batches[n] ?? ''))),
      ]);
      busy = false;
      expect(await watching).toEqual([]);
      expect(await wrongCounts(db)).toEqual([]);
    }),
    { numRuns: 25 },
  );
  await conveyor.close();
});

test('whoever would sum very many counts to learn that a batch goes on folds them, as the API too', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 3 });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  const deps = { ...conveyor.deps, db: db.asApi.forTenant(tenantId) };
  await moveToAndFro(batchId, 1_000);
  await closeBatches(deps, [batchId]);
  expect(await rowsOf(batchId)).toHaveLength(1_001);
  await moveToAndFro(batchId, 1_000);
  await closeBatches(deps, [batchId]);
  expect(await rowsOf(batchId)).toEqual([{ folded: true }]);
  await moveToAndFro(batchId, 7_000);
  await closeBatches({ ...deps, db: db.asWorker }, [batchId]);
  expect((await rowsOf(batchId)).length).toBeLessThan(2_100);
  expect((await countJobs(db, [batchId])).get(batchId)).toMatchObject({ queued: 3, processing: 0 });
  await foldBatchCounts(db.asWorker, budget);
  expect(await rowsOf(batchId)).toEqual([{ folded: true }]);
  expect(await wrongCounts(db)).toEqual([]);
  await conveyor.close();
});

test('a batch ends though its counts cannot be folded, which is told', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 1 });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  await moveToAndFro(batchId, 3_000);
  await db.query(sql('t')`update research_jobs set status = 'cancelled', finished_at = now(), fed_until = null
    where batch_id = ${batchId}`);
  const told: unknown[] = [];
  const without: Connection = {
    ...db.asWorker,
    query: (statement) =>
      statement.statement === 'batches.fold_one'
        ? Promise.reject(Object.assign(new Error('no such function'), { code: '42883' }))
        : db.asWorker.query(statement),
  };
  const log = {
    info: () => undefined,
    warn: (event: string, fields: object) => told.push({ event, ...fields }),
  };
  expect(await closeBatches({ ...conveyor.deps, db: without, log }, [batchId])).toMatchObject([
    { id: batchId, ended: true },
  ]);
  expect(told).toEqual([{ event: 'batches.fold_failed', batchId, code: '42883' }]);
  await conveyor.close();
});

test('a fold reads each count once, however many there are of a batch', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 1 });
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  await foldBatchCounts(db.asWorker, budget);
  await moveToAndFro(batchId, 40_000);
  const reads = new Map<string, Reads[]>();
  expect(await foldBatchCounts(explaining(db.asWorker, reads), { budgetMs: 60_000 })).toBeGreaterThan(40_000);
  expect(await rowsOf(batchId)).toEqual([{ folded: true }]);
  // Found, taken, and its batch looked at: a few times each, and not once more for each chunk.
  expect(rowsRead(reads, 'batches.fold')).toBeLessThan(4 * 40_000);
  await conveyor.close();
});

test('no tenant folds the counts of another', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 2 });
  const stranger = await aWorld(db);
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  expect(await foldOne(stranger.tenantId, batchId)).toBe(0);
  await expect(
    db.asApi.forTenant(stranger.tenantId).query(sql('t')`select aim.fold_counts(${tenantId}, ${batchId})`),
  ).rejects.toMatchObject({ code: '42501' });
  expect(await rowsOf(batchId)).toEqual([{ folded: false }]);
  expect(await foldOne(tenantId, batchId)).toBe(1);
  await conveyor.close();
});

test('no tenant sees the counts of another, nor can he write any', async () => {
  const { tenantId, campaignId } = await aWorld(db, { companies: 2 });
  const stranger = await aWorld(db);
  const conveyor = aConveyor(db);
  const batchId = await conveyor.start(tenantId, campaignId);
  expect((await countJobs(db.asApi.forTenant(tenantId), [batchId])).size).toBe(1);
  expect((await countJobs(db.asApi.forTenant(stranger.tenantId), [batchId])).size).toBe(0);
  await expect(
    db.asApi.forTenant(tenantId).query(sql('t')`delete from batch_counts where batch_id = ${batchId}`),
  ).rejects.toMatchObject({ code: '42501' });
  await conveyor.close();
});
