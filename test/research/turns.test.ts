import type { Ask } from '../../core/research/asks.ts';
import { dispatch } from '../../core/research/dispatch.ts';
import { takeTurns } from '../../core/research/turns.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { completeAll } from '../support/provider.ts';
import { startRun } from '../support/run.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

const asksOf = (user_id: string, id: string, count: number) =>
  Array.from({ length: count }, (_, n) => ({ id: `${id}-${n}`, provider: { id, user_id } }) as Ask);

test('in an event with a backlog of another tenant, a job is asked about in the first turn', async () => {
  const order: string[] = [];
  const many = await startRun(
    db,
    (ask) => {
      order.push('many');
      return completeAll(ask);
    },
    { companies: 60, batchSize: 1 },
  );
  const one = await startRun(
    db,
    (ask) => {
      order.push('one');
      return completeAll(ask);
    },
    { companies: 1, batchSize: 1 },
  );
  const ids = [many, one].flatMap(({ conveyor }) =>
    conveyor.sent.splice(0).flatMap((message) => message.body.jobIds),
  );
  await dispatch({ ...many.conveyor.deps, concurrency: 2 }, ids, { remainingMs: () => 60_000 });
  expect(order.indexOf('one')).toBeLessThan(2);
  expect(order).toHaveLength(61);
  await Promise.all([many.close(), one.close()]);
});

test('a provider that does not answer leaves the others their share', async () => {
  let waiting = 0;
  let most = 0;
  let quick = 0;
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  // The tenant of the slow ones has two, and no more for it.
  const asks = [...asksOf('a', 'slow', 50), ...asksOf('a', 'slower', 50), ...asksOf('b', 'quick', 20)];
  await takeTurns(asks, 4, async ({ provider }) => {
    if (provider.id === 'quick') {
      if (++quick === 20) release();
      return;
    }
    waiting++;
    if (quick < 20) most = Math.max(most, waiting);
    await released;
  });
  expect(most).toBe(2);
  expect(waiting).toBe(100);
});

test('no more are under way than may be, and each ask is made once', async () => {
  const asks = [...asksOf('a', 'x', 7), ...asksOf('a', 'y', 2), ...asksOf('b', 'z', 4)];
  const made: string[] = [];
  let underWay = 0;
  let most = 0;
  await takeTurns(asks, 3, async ({ id }) => {
    most = Math.max(most, ++underWay);
    await Promise.resolve();
    made.push(id);
    underWay--;
  });
  expect(most).toBe(3);
  expect(new Set(made).size).toBe(13);
  expect(made).toHaveLength(13);
  await takeTurns([], 3, () => Promise.reject(new Error('nobody')));
});
