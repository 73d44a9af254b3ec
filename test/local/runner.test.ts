import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { GetQueueAttributesCommand, SendMessageBatchCommand, SendMessageCommand } from '@aws-sdk/client-sqs';
import type { SQSRecord } from 'aws-lambda';
import { readStamps, stampsAttribute } from '../../core/research/queue.ts';
import { sqsQueue } from '../../lambdas/sqs.ts';
import { type Environments, environments } from '../../local/stack/environments.ts';
import { serveFunctionUrl } from '../../local/stack/http.ts';
import { until } from '../../local/stack/processes.ts';
import { createQueues, type LocalQueue, sqsClient } from '../../local/stack/queues.ts';
import { type Poller, pollQueue } from '../../local/stack/sqs-source.ts';

const client = sqsClient(process.env.TEST_SQS_ENDPOINT ?? '');
const folder = mkdtempSync(join(tmpdir(), 'aim-runner-'));
const stopping: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const stop of stopping.splice(0).reverse()) await stop();
});
afterAll(() => {
  client.destroy();
  rmSync(folder, { recursive: true });
});

/** A function of this JavaScript, as deployed: a bundle that exports `handler`. */
function aFunction(
  code: string,
  { timeoutSeconds = 10, limit = 10 } = {},
): Environments & { logged: () => string } {
  const bundle = join(folder, `${randomUUID()}.cjs`);
  writeFileSync(bundle, `let calls = 0; const thread = require('node:worker_threads').threadId;\n${code}`);
  let text = '';
  const log = new Writable({
    write(part, _, done) {
      text += String(part);
      done();
    },
  });
  const made = environments(
    {
      name: 'a-function',
      bundle,
      environment: {},
      timeoutSeconds,
      hasUrl: false,
      sources: [],
      everySeconds: [],
    },
    { env: {}, log, limit },
  );
  stopping.push(made.stop);
  return { ...made, logged: () => text };
}

/** A queue of its own with a dead-letter queue; messages come again after a second. */
async function aQueue({ maxReceiveCount = 5 } = {}): Promise<{ queue: LocalQueue; deadLetters: LocalQueue }> {
  const name = randomUUID();
  const made = await createQueues(client, [
    { resource: 'Dead', name: `${name}-dead`, attributes: {} },
    {
      resource: 'Queue',
      name,
      // Longer than a new environment takes to start on a busy machine.
      attributes: { VisibilityTimeout: '3' },
      deadLetters: { resource: 'Dead', maxReceiveCount },
    },
  ]);
  const [queue, deadLetters] = [made.get('Queue'), made.get('Dead')];
  if (!queue || !deadLetters) throw new Error('the queues were not made');
  return { queue, deadLetters };
}

interface Received {
  body: string;
  receiveCount: number;
}

/** Polls `queue` into `invoke`. @returns the batches it delivered and the failures it reported, as they happen */
function poll(
  queue: LocalQueue,
  invoke: (event: { Records: unknown[] }) => Promise<unknown>,
  { concurrency = 2, partialResponses = true } = {},
) {
  const batches: Received[][] = [];
  const failures: string[] = [];
  const poller: Poller = pollQueue({
    client,
    queueUrl: queue.url,
    queueArn: queue.arn,
    source: { queue: 'Queue', batchSize: 10, windowSeconds: 0, concurrency, partialResponses },
    async invoke(event) {
      const records = event.Records as { body: string; attributes: { ApproximateReceiveCount: string } }[];
      batches.push(
        records.map(({ body, attributes }) => ({
          body,
          receiveCount: Number(attributes.ApproximateReceiveCount),
        })),
      );
      return invoke(event);
    },
    onFailure: (error) => failures.push(error.message),
  });
  stopping.push(poller.stop);
  return {
    batches,
    failures,
    seen: (body: string) => batches.flat().filter((each) => each.body === body).length,
  };
}

const send = (queue: LocalQueue, ...bodies: string[]) =>
  client.send(
    new SendMessageBatchCommand({
      QueueUrl: queue.url,
      Entries: bodies.map((MessageBody, index) => ({ Id: String(index), MessageBody })),
    }),
  );

async function messagesOn({ url }: LocalQueue): Promise<number> {
  const { Attributes } = await client.send(
    new GetQueueAttributesCommand({
      QueueUrl: url,
      AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
    }),
  );
  return (
    Number(Attributes?.ApproximateNumberOfMessages) +
    Number(Attributes?.ApproximateNumberOfMessagesNotVisible)
  );
}

test('messages that a partial batch response names come again, their siblings do not', async () => {
  const { queue } = await aQueue();
  const { invoke } = aFunction(`exports.handler = async ({ Records }) => ({
    batchItemFailures: Records
      .filter((record) => record.body === 'bad' && record.attributes.ApproximateReceiveCount === '1')
      .map((record) => ({ itemIdentifier: record.messageId })) });`);

  await send(queue, 'good', 'bad', 'fine');
  const { seen } = poll(queue, invoke);

  expect(await until(async () => (await messagesOn(queue)) === 0, 20_000)).toBe(true);
  expect([seen('good'), seen('bad'), seen('fine')]).toEqual([1, 2, 1]);
});

test('a crash in the middle of a batch loses nothing: all of it comes again, to a new environment', async () => {
  const { queue } = await aQueue();
  const { invoke, logged } = aFunction(`exports.handler = async ({ Records }) => {
    const isFirst = Records[0].attributes.ApproximateReceiveCount === '1';
    console.log(\`\${isFirst ? 'dies' : 'works'} in thread \${thread}\`);
    if (isFirst) process.exit(7);
    return { batchItemFailures: [] }; };`);

  await send(queue, 'a', 'b');
  const { seen, failures } = poll(queue, invoke);

  expect(await until(async () => (await messagesOn(queue)) === 0, 20_000)).toBe(true);
  expect([seen('a'), seen('b')]).toEqual([2, 2]);
  expect(failures).toEqual(['exited with code 7']);
  // They may come again together or apart, but where nobody has died.
  const threads = (what: string) => logged().match(new RegExp(`(?<=${what} in thread )\\d+`, 'g')) ?? [];
  expect(threads('dies')).toHaveLength(1);
  expect(threads('works').length).toBeGreaterThan(0);
  expect(threads('works')).not.toContain(threads('dies')[0]);
});

test('an invocation that does not end is killed at its timeout and its messages come again', async () => {
  const { queue } = await aQueue();
  const { invoke } = aFunction(
    `exports.handler = async ({ Records }) => {
      if (Records[0].attributes.ApproximateReceiveCount === '1') for (;;) ;
      return { batchItemFailures: [] }; };`,
    { timeoutSeconds: 0.8 },
  );

  await send(queue, 'a');
  const { seen, failures } = poll(queue, invoke);

  expect(await until(async () => (await messagesOn(queue)) === 0, 20_000)).toBe(true);
  expect(seen('a')).toBe(2);
  expect(failures).toEqual(['timed out after 0.8 s']);
});

test('a message that fails maxReceiveCount times ends on the dead-letter queue', async () => {
  const { queue, deadLetters } = await aQueue({ maxReceiveCount: 2 });
  const { invoke } = aFunction(`exports.handler = async () => { throw new Error('poison'); };`);

  await send(queue, 'a');
  const { seen } = poll(queue, invoke);

  expect(await until(async () => (await messagesOn(deadLetters)) === 1, 20_000)).toBe(true);
  expect(await messagesOn(queue)).toBe(0);
  expect(seen('a')).toBe(2);
});

test('what goes beside a body is still there when it comes off the dead-letter queue', async () => {
  const { queue, deadLetters } = await aQueue({ maxReceiveCount: 1 });
  const { invoke } = aFunction(`exports.handler = async () => { throw new Error('poison'); };`);
  await sqsQueue<string>(client, queue.url).send([
    { body: 'a', attributes: { [stampsAttribute]: '1-2' }, delaySeconds: 0, groupId: 'g' },
    { body: 'b', delaySeconds: 0, groupId: 'g' },
  ]);
  poll(queue, invoke);

  const dead: SQSRecord[] = [];
  poll(deadLetters, async ({ Records }) => dead.push(...(Records as SQSRecord[])));
  expect(await until(async () => dead.length === 2, 20_000)).toBe(true);
  const stampsOf = (body: string) =>
    readStamps(
      dead.find((each) => each.body === JSON.stringify(body))?.messageAttributes[stampsAttribute]
        ?.stringValue,
    );
  expect([stampsOf('a'), stampsOf('b')]).toEqual([{ first: 1, last: 2 }, undefined]);
});

test.each([
  ['an unknown id', `{ batchItemFailures: [{ itemIdentifier: 'nobody' }] }`],
  ['a null id', `{ batchItemFailures: [{ itemIdentifier: null }] }`],
  ['a wrong key', `{ batchItemFailures: [{ id: 'x' }] }`],
  ['no object', `'done'`],
])('a malformed partial batch response (%s) fails the whole batch', async (_, answer) => {
  const { queue } = await aQueue();
  const { failures } = poll(queue, aFunction(`exports.handler = async () => (${answer});`).invoke);

  await send(queue, 'a', 'b');

  expect(await until(() => failures.length > 0, 10_000)).toBe(true);
  expect(failures[0]).toBe('malformed partial batch response');
  expect(await messagesOn(queue)).toBe(2);
});

test.each(['null', '{}', '{ batchItemFailures: null }', '{ batchItemFailures: [] }'])(
  'the answer %s means that the whole batch succeeded',
  async (answer) => {
    const { queue } = await aQueue();
    const { failures } = poll(queue, aFunction(`exports.handler = async () => (${answer});`).invoke);

    await send(queue, 'a', 'b');

    expect(await until(async () => (await messagesOn(queue)) === 0, 20_000)).toBe(true);
    expect(failures).toEqual([]);
  },
);

test('no more invocations run at once than the maximum concurrency', async () => {
  const { queue } = await aQueue();
  let running = 0;
  let most = 0;
  const { batches } = poll(queue, async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 200));
    running--;
    return null;
  });

  for (let n = 0; n < 4; n++) await send(queue, ...Array.from({ length: 10 }, (_, index) => `${n}-${index}`));

  expect(await until(async () => (await messagesOn(queue)) === 0, 20_000)).toBe(true);
  expect(batches.flat()).toHaveLength(40);
  expect(most).toBe(2);
});

test('an idle environment is used again; one that died while idle is not', async () => {
  const { invoke } = aFunction(`exports.handler = async ({ die }) => {
    if (die) setTimeout(() => process.exit(3), 50);
    return { thread, call: ++calls }; };`);

  const first = await invoke({});
  expect(await invoke({ die: true })).toEqual({ ...(first as object), call: 2 });
  await new Promise((resolve) => setTimeout(resolve, 300));

  expect(await invoke({})).toMatchObject({ call: 1 });
});

test('invocations beyond the limit wait for their turn', async () => {
  const { invoke } = aFunction('exports.handler = async () => thread;', { limit: 2 });

  const threads = await Promise.all(Array.from({ length: 20 }, () => invoke({})));

  expect(new Set(threads).size).toBeLessThanOrEqual(2);
});

test('a request whose caller hung up while it waited for its turn is not worked on', async () => {
  const released = join(folder, randomUUID());
  const { invoke, logged } = aFunction(
    `exports.handler = async ({ rawPath }) => {
      console.log('works on ' + rawPath);
      while (rawPath === '/first' && !require('node:fs').existsSync(${JSON.stringify(released)}))
        await new Promise((resolve) => setTimeout(resolve, 10));
      return { statusCode: 204 }; };`,
    { limit: 1 },
  );
  const callers: (AbortSignal | undefined)[] = [];
  const server = await serveFunctionUrl(
    (event, caller) => {
      callers.push(caller);
      return invoke(event, caller);
    },
    { host: '127.0.0.1', port: 0 },
  );
  stopping.push(server.stop);
  const impatient = new AbortController();

  const first = fetch(`${server.url}/first`);
  await until(() => callers.length === 1, 10_000);
  const given = fetch(`${server.url}/given-up`, { signal: impatient.signal }).catch(() => 'given up');
  await until(() => callers.length === 2, 10_000);
  impatient.abort();
  await until(() => callers[1]?.aborted === true, 10_000);
  const last = fetch(`${server.url}/last`);
  await until(() => callers.length === 3, 10_000);
  writeFileSync(released, '');

  expect(await given).toBe('given up');
  expect([(await first).status, (await last).status]).toEqual([204, 204]);
  await until(() => logged().includes('/last'), 10_000);
  expect(logged().match(/(?<=works on )\S+/g)).toEqual(['/first', '/last']);
});

test('the queue takes any Unicode text and refuses a delay above 15 minutes, as SQS does', async () => {
  const { queue } = await aQueue();
  const sendOne = (MessageBody: string, DelaySeconds = 0) =>
    client.send(new SendMessageCommand({ QueueUrl: queue.url, MessageBody, DelaySeconds }));

  await sendOne('𝒜cme 🏭');
  await expect(sendOne('later', 901)).rejects.toThrow('DelaySeconds is invalid');
  await expect(sendOne('a\u0000b')).rejects.toThrow();
  await expect(
    client.send(
      new SendMessageBatchCommand({
        QueueUrl: queue.url,
        Entries: [{ Id: 'a', MessageBody: 'a', DelaySeconds: 1_000 }],
      }),
    ),
  ).rejects.toThrow('DelaySeconds is invalid');

  const { seen } = poll(queue, async () => null);
  expect(await until(() => seen('𝒜cme 🏭') === 1, 10_000)).toBe(true);
});

test('an answer is refused where Lambda refuses it: by the size of its JSON', async () => {
  const invoke = async (event: unknown) => {
    const quotes = Number(
      (event as { queryStringParameters: { quotes: string } }).queryStringParameters.quotes,
    );
    return { statusCode: 200, headers: {}, body: '"'.repeat(quotes), isBase64Encoded: false };
  };
  const server = await serveFunctionUrl(invoke, { host: '127.0.0.1', port: 0 });
  stopping.push(server.stop);
  expect((await fetch(`${server.url}/?quotes=3100000`)).status).toBe(200);
  expect((await fetch(`${server.url}/?quotes=3200000`)).status).toBe(502);
});
