import type { LookupFunction } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { guardedAgent } from '../../core/http/guard.ts';
import { type Post, post } from '../../core/http/post.ts';
import { binary, chunk, chunked, headOf, type Respond } from '../support/faults.ts';
import { http, rawProvider } from '../support/raw-provider.ts';

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

async function posting(respond: Respond, { resolve }: { resolve?: LookupFunction } = {}) {
  const remote = await rawProvider(respond);
  const agent = guardedAgent({
    allowedNetworks: ['127.0.0.1/32'],
    connections: 1,
    ...(resolve && { resolve }),
  });
  opened.push(remote, { close: () => agent.destroy() });
  const send = (options: { [Key in keyof Post]?: Post[Key] | undefined } = {}) =>
    post(agent, {
      url: remote.url,
      headers: {},
      body: '{}',
      timeoutMs: 2_000,
      maxBytes: 10,
      ...options,
    } as Post);
  return { remote, send };
}

const tooLarge = { status: 200, error: { message: 'the answer is larger than 10 bytes' } };

test('a body is read up to the cap, and no byte further', async () => {
  const { send } = await posting((s) => s.write(http(200, '1234567890')));
  expect(await send()).toMatchObject({ status: 200, text: '1234567890' });
  const more = await posting((s) => s.write(headOf(chunked) + chunk(Buffer.from('12345678901'))));
  expect(await more.send()).toMatchObject(tooLarge);
});

test('the cap is that of what it unpacks to as well', async () => {
  const packed = (text: string) => binary(200, gzipSync(text), { 'content-encoding': 'gzip' });
  const { send } = await posting((s) => s.write(packed('a'.repeat(100))));
  expect(await send({ maxBytes: 100 })).toMatchObject({ text: 'a'.repeat(100) });
  const bomb = await posting((s) => s.write(packed('a'.repeat(101))));
  expect(await bomb.send({ maxBytes: 100 })).toMatchObject({
    error: { message: 'the answer is larger than 100 bytes' },
  });
});

test('a body that comes byte by byte takes no more memory than another', async () => {
  const bytes = 1_000_000;
  const { send } = await posting((s) => s.write(`${headOf(chunked)}${'1\r\na\r\n'.repeat(bytes)}0\r\n\r\n`));
  const before = process.memoryUsage().heapUsed;
  let most = 0;
  const watching = setInterval(() => (most = Math.max(most, process.memoryUsage().heapUsed - before)), 5);
  expect((await send({ maxBytes: bytes, timeoutMs: 30_000 })).text).toHaveLength(bytes);
  clearInterval(watching);
  expect(most).toBeLessThan(100 * 1024 * 1024);
});

test('what is no answer yet is passed over', async () => {
  const early = 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n';
  const { send } = await posting((s) => s.write(`${early}${http(200, 'yes')}`));
  expect(await send()).toMatchObject({ status: 200, text: 'yes' });
  expect(await send({ maxBytes: undefined })).toMatchObject({ status: 200 });
});

test('of an answer that says no, or whose body nobody wants, only the head is awaited', async () => {
  const talking =
    (status: number): Respond =>
    (s) =>
      s.write(`HTTP/1.1 ${status} x\r\nretry-after: 7\r\ntransfer-encoding: chunked\r\n\r\n`);
  const no = await posting(talking(500));
  expect(await no.send()).toEqual({ status: 500, headers: expect.objectContaining({ 'retry-after': '7' }) });
  const yes = await posting(talking(200));
  expect(await yes.send({ maxBytes: undefined })).toMatchObject({ status: 200 });
});

test('what is not read is taken in up to a bound, and then cut off', async () => {
  const part = chunk(Buffer.alloc(16 * 1024));
  const { remote, send } = await posting((s) =>
    s.write(`HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n`, () => {
      for (let n = 0; n < 5; n++) s.write(part);
    }),
  );
  expect(await send()).toMatchObject({ status: 500 });
  while (remote.open() > 0) await sleep(10);
});

test('a deadline that passes before there is a head is an error, one that passes later is told with it', async () => {
  const silent = await posting(() => undefined);
  await expect(silent.send({ timeoutMs: 50 })).rejects.toMatchObject({ name: 'TimeoutError' });
  const slow = await posting((s) => s.write(headOf({ 'content-length': '5' })));
  expect(await slow.send({ timeoutMs: 200 })).toMatchObject({ status: 200, error: { name: 'TimeoutError' } });
});

test('a connection that comes to be after the deadline is not used', async () => {
  const resolve: LookupFunction = (_, __, callback) => {
    setTimeout(() => callback(null, [{ address: '127.0.0.1', family: 4 }], 4), 200);
  };
  const { remote, send } = await posting((s) => s.write(http(200, 'late')), { resolve });
  const url = remote.url.replace('127.0.0.1', 'slow.example');
  await expect(send({ url, timeoutMs: 50 })).rejects.toMatchObject({ name: 'TimeoutError' });
  while (remote.connections() === 0) await sleep(10);
  await sleep(100);
  expect(remote.asks).toEqual([]);
});

test('a connection that breaks within the body is told with its status', async () => {
  const { send } = await posting((s) =>
    s.write(headOf({ 'content-length': '9' }), () => s.resetAndDestroy()),
  );
  expect(await send()).toMatchObject({ status: 200, error: { code: expect.any(String) } });
});
