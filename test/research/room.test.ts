import fc from 'fast-check';
import { dispatch } from '../../core/research/dispatch.ts';
import { answerRoom } from '../../core/research/room.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { startRun } from '../support/run.ts';

const mb = 1024 * 1024;

/** Whoever wants in, and whether he is. */
function crowd(room: ReturnType<typeof answerRoom>, count: number) {
  let inside = 0;
  for (let n = 0; n < count; n++) void room.enter().then(() => inside++);
  return async () => {
    await new Promise(setImmediate);
    return inside;
  };
}

test('as many asks begin as their answers have room, and more once those before are written', async () => {
  const room = answerRoom({ size: 4 * mb });
  const inside = crowd(room, 20);
  expect(await inside()).toBe(8);
  room.answered(2 * mb);
  // Now each of those awaited is taken to be as large: nobody more comes in until they are written.
  for (let n = 0; n < 7; n++) room.answered(0);
  expect(await inside()).toBe(9);
  room.written(2 * mb);
  expect(await inside()).toBe(10);
});

test('an answer that is larger than all the room is asked for alone, and holds nobody up for ever', async () => {
  const room = answerRoom({ size: mb });
  const inside = crowd(room, 4);
  for (let n = 0; n < 2; n++) room.answered(3 * mb);
  expect(await inside()).toBe(2);
  room.written(3 * mb);
  expect(await inside()).toBe(2);
  room.written(3 * mb);
  expect(await inside()).toBe(3);
});

test('whatever the sizes, all have their turn', async () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 3 * mb }), { minLength: 1, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(sizes, async (all) => {
      const room = answerRoom({ size: 4 * mb });
      let done = 0;
      const work = async (size: number) => {
        await room.enter();
        await new Promise(setImmediate);
        room.answered(size);
        await new Promise(setImmediate);
        room.written(size);
        done++;
      };
      await Promise.all(all.map(work));
      expect(done).toBe(all.length);
    }),
  );
});

describe('behind a provider of large answers', () => {
  let db: TestDatabase;
  let run: Awaited<ReturnType<typeof startRun>>;
  beforeAll(async () => {
    db = await testDatabase();
  });
  afterAll(async () => {
    await run?.close();
    await db.close();
  });

  test('one event has no more of them under way than it can hold', async () => {
    let underWay = 0;
    const seen: number[] = [];
    const ten = Promise.withResolvers<void>();
    const answer = async () => {
      if (seen.push(++underWay) === 10) ten.resolve();
      await ten.promise;
      underWay--;
      return { body: { results: [], note: 'x'.repeat(6 * mb) } };
    };
    run = await startRun(db, answer, { companies: 30, batchSize: 1, timeoutMs: 30_000 });
    const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
    await dispatch(run.conveyor.deps, ids, { remainingMs: () => 60_000 });
    // Ten side by side, of whose size nothing is known, and from then on what has room.
    expect(seen.slice(0, 10)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(seen).toHaveLength(30);
    expect(Math.max(...seen.slice(10))).toBeLessThanOrEqual(5);
    expect((await run.jobs()).every((job) => job.status === 'processing')).toBe(true);
  });
});
