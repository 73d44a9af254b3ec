import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { claim } from '../../core/research/claim.ts';
import { untilBlocked } from '../support/blocked.ts';
import { aConveyor } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';

let db: TestDatabase;
beforeEach(async () => {
  db = await testDatabase();
});
afterEach(() => db.close());

/** Ids on the conveyor, of a provider with these limits. */
async function fed(limits: { concurrency?: number } = {}) {
  const { tenantId, campaignId, provider } = await aWorld(db, { companies: 20, ...limits });
  const conveyor = aConveyor(db);
  await conveyor.start(tenantId, campaignId);
  return { provider, ids: conveyor.sent.flatMap((message) => message.body.jobIds) };
}

const hold = (tx: Db, providerId: string) =>
  tx.query(sql('test.hold')`select id from research_providers where id = ${providerId} for no key update`);

test('a claim of a provider without limits waits for nobody who holds its row', async () => {
  const { provider, ids } = await fed();
  await db.transaction(async (tx) => {
    await hold(tx, provider.id);
    const asks = await claim(db.asWorker, ids, { leaseSeconds: 60 });
    expect(asks.flatMap((ask) => ask.jobs)).toHaveLength(20);
  });
});

test('a claim of a provider with a limit waits for whoever counts before it', async () => {
  const { provider, ids } = await fed({ concurrency: 20 });
  let claimed = false;
  let claiming: Promise<unknown> = Promise.resolve();
  await db.transaction(async (tx) => {
    await hold(tx, provider.id);
    claiming = claim(db.asWorker, ids, { leaseSeconds: 60 }).then(() => {
      claimed = true;
    });
    await untilBlocked(db);
    expect(claimed).toBe(false);
  });
  await claiming;
  expect(claimed).toBe(true);
});

test('a provider that gets its first limit between the look and the claim is not exceeded', async () => {
  const { provider, ids } = await fed();
  /** Sets the limit right before the claim's taking statement. */
  const limiting: Db = {
    query: (statement) => db.asWorker.query(statement),
    transaction: (work) =>
      db.asWorker.transaction((tx) =>
        work({
          transaction: tx.transaction,
          async query(statement) {
            if (statement.statement === 'claim.take')
              await db.query(sql('test.limit')`
                update research_providers set concurrency = 3 where id = ${provider.id}`);
            return tx.query(statement);
          },
        }),
      ),
  };
  expect(await claim(limiting, ids, { leaseSeconds: 60 })).toEqual([]);
  // They are off the conveyor, due at once, and the next claim counts.
  const left = await db.query(sql('test.left')`
    select id from research_jobs where status = 'queued' and fed_until is null and run_at <= now()`);
  expect(left).toHaveLength(20);
  const asks = await claim(db.asWorker, ids, { leaseSeconds: 60 });
  expect(asks.flatMap((ask) => ask.jobs)).toHaveLength(3);
});
