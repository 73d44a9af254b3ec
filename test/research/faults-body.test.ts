import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import {
  type AskOptions,
  allClosed,
  binary,
  chunk,
  chunked,
  headOf,
  oneAsk,
  type Respond,
  saying,
} from '../support/faults.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());
const once = (respond: Respond, options?: AskOptions) => oneAsk(db, respond, options);

describe('the job fails, because another attempt would end the same, when the provider', () => {
  const tooLarge = { status: 'failed', retries: 0, code: 'answer_too_large', outcome: 'failed' };
  const mebibyte = 1024 * 1024;
  const endless =
    (headers: Record<string, string>, wrap = (part: Buffer) => part): Respond =>
    (socket) => {
      const part = wrap(randomBytes(64 * 1024));
      socket.write(headOf(headers));
      let left = (10 * 1024 * mebibyte) / part.length;
      const more = () => {
        while (left-- > 0 && !socket.destroyed) if (!socket.write(part)) return;
        socket.end();
      };
      socket.on('drain', more);
      more();
    };

  test.each<[string, Respond]>([
    ['says so', endless({ 'content-length': `${10 * 1024 * mebibyte}` })],
    ['does not say so', endless(chunked, chunk)],
    ['packs it', endless({ ...chunked, 'content-encoding': 'gzip' }, chunk)],
  ])('sends 10 GB and %s: it is cut early', async (_, respond) => {
    const run = await once(respond, { timeoutMs: 30_000 });
    expect(run.job).toMatchObject(tooLarge);
    await allClosed(run.remote);
    expect(run.remote.bytesWritten()).toBeLessThan(40 * mebibyte); // The cap, and what the kernel holds.
    await run.close();
  });

  test('sends a gzip bomb: it is cut while it unpacks', async () => {
    const member = gzipSync(Buffer.alloc(64 * mebibyte, ' '), { level: 9 });
    const bomb = Buffer.concat(Array.from({ length: 100 }, () => member));
    expect(bomb.length).toBeLessThan(8 * mebibyte); // 6.4 GB of blanks: small enough to come in whole.
    const before = process.memoryUsage().rss;
    const run = await once(saying(binary(200, bomb, { 'content-encoding': 'gzip' })), { timeoutMs: 30_000 });
    expect(run.job).toMatchObject(tooLarge);
    expect(process.memoryUsage().rss - before).toBeLessThan(512 * mebibyte);
    await run.close();
  });

  test('sends gzip members without any content, for ever: what comes in is capped too', async () => {
    const empty = Buffer.concat(Array.from({ length: 3_000 }, () => gzipSync('')));
    const respond: Respond = (socket) => {
      socket.write(headOf({ ...chunked, 'content-encoding': 'gzip' }));
      const more = () => {
        while (!socket.destroyed) if (!socket.write(chunk(empty))) return;
      };
      socket.on('drain', more);
      more();
    };
    const run = await once(respond, { timeoutMs: 30_000 });
    expect(run.job).toMatchObject(tooLarge);
    await run.close();
  });
});
