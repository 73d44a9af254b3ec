import { randomUUID } from 'node:crypto';
import { GetQueueAttributesCommand, SendMessageCommand } from '@aws-sdk/client-sqs';
import type { Context, SQSEvent } from 'aws-lambda';
import { sql } from '../../core/db/sql.ts';
import type { DeliveryMessage } from '../../core/deliveries/queue.ts';
import { endBatches } from '../../core/research/batches.ts';
import { sendResumes } from '../../core/resumes/send.ts';
import { sqsQueue } from '../../lambdas/sqs.ts';
import { until } from '../../local/stack/processes.ts';
import { createQueues, type LocalQueue, sqsClient } from '../../local/stack/queues.ts';
import { type Poller, pollQueue } from '../../local/stack/sqs-source.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';
import { aWaiting } from '../support/waiting.ts';

const endpoint = process.env.TEST_SQS_ENDPOINT ?? '';
const client = sqsClient(endpoint);
const name = randomUUID();
const pollers: Poller[] = [];
let db: TestDatabase;
let queue: LocalQueue;
let deadLetters: LocalQueue;

beforeAll(async () => {
  db = await testDatabase();
  const made = await createQueues(client, [
    { resource: 'Dead', name: `${name}-delivery-dead-letters`, attributes: {} },
    {
      resource: 'Queue',
      name: `${name}-delivery`,
      attributes: { VisibilityTimeout: '1' },
      deadLetters: { resource: 'Dead', maxReceiveCount: 2 },
    },
  ]);
  queue = made.get('Queue') as LocalQueue;
  deadLetters = made.get('Dead') as LocalQueue;
  Object.assign(process.env, {
    DATABASE_URL: db.asWorker.url,
    RESEARCH_QUEUE_URL: 'http://127.0.0.1:9/queue',
    DELIVERY_QUEUE_URL: queue.url,
    PUBLIC_URL: 'http://127.0.0.1:9',
    PROVIDER_ALLOWED_NETWORKS: '127.0.0.0/8',
    AWS_ENDPOINT_URL_SQS: endpoint,
    AWS_REGION: 'eu-central-1',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    POWERTOOLS_LOG_LEVEL: 'SILENT',
  });
  const { handler: deliver } = await import('../../lambdas/deliver.ts');
  const { handler: deadLetter } = await import('../../lambdas/deadLetter.ts');
  const context = { getRemainingTimeInMillis: () => 60_000 } as Context;
  const source = { queue: 'Queue', batchSize: 10, windowSeconds: 0, concurrency: 2, partialResponses: true };
  const poll = ({ url, arn }: LocalQueue, invoke: (event: SQSEvent) => Promise<unknown>) =>
    pollers.push(
      pollQueue({
        client,
        queueUrl: url,
        queueArn: arn,
        source,
        invoke: (event) => invoke(event as SQSEvent),
        onFailure: (error) => console.error(error),
      }),
    );
  poll(queue, (event) => deliver(event, context));
  poll(deadLetters, (event) => deadLetter(event));
});
afterAll(async () => {
  await Promise.all(pollers.map((poller) => poller.stop()));
  client.destroy();
  await db.close();
});

const log = { info: () => undefined, warn: () => undefined };
/** A batch without open jobs, ended now, whose resume is put on the queue. */
async function endOne(url: string) {
  const { tenantId, campaignId, provider } = await aWorld(db, { companies: 1 });
  const [batch] = await db.query<{ id: string }>(sql('test.batch')`
    insert into research_batches (user_id, campaign_id, provider_id, kind, sealed_at, expanded_at, resume_url, resume_state)
    values (${tenantId}, ${campaignId}, ${provider.id}, 'company', now(), now(), ${url}, 'waiting') returning id`);
  const batchId = batch?.id ?? '';
  const deliveries = sqsQueue<DeliveryMessage>(client, queue.url);
  const ended = await endBatches(db.asWorker, [batchId], { graceSeconds: 60 });
  await sendResumes({ deliveries, log }, ended);
  return batchId;
}
const stateOf = async (batchId: string) =>
  (
    await db.query<{ state: string; attempts: number }>(sql('test.state')`
      select resume_state as state, resume_attempts as attempts from research_batches where id = ${batchId}`)
  )[0];

test('the message goes over the queue to the handler, and a 409 comes back over the queue a second later', async () => {
  const waiting = await aWaiting((count) => (count === 1 ? 409 : 200));
  const batchId = await endOne(waiting.url);
  expect(await until(async () => (await stateOf(batchId))?.state === 'done', 20_000, 50)).toBe(true);
  expect(await stateOf(batchId)).toEqual({ state: 'done', attempts: 2 });
  expect(waiting.resumed.map(({ body }) => body.batchId)).toEqual([batchId, batchId]);
  await waiting.close();
});

test('what cannot be read ends among the dead letters as it came, and keeps no other message from its turn', async () => {
  const waiting = await aWaiting();
  const body = `{"v":1,"type":"unheard of ${randomUUID()}"}`;
  await client.send(new SendMessageCommand({ QueueUrl: queue.url, MessageBody: body }));
  const batchId = await endOne(waiting.url);
  const kept = () =>
    db.query<{ queue: string; body: string; error_code: string }>(sql('test.kept')`
      select queue, convert_from(body, 'utf8') as body, error_code from dead_letters`);
  expect(await until(async () => (await kept()).length > 0, 20_000, 100)).toBe(true);
  expect(await kept()).toEqual([{ queue: 'delivery', body, error_code: 'unreadable_message' }]);
  expect((await stateOf(batchId))?.state).toBe('done');
  await waiting.close();
});

test('a dead letter that can be read is dropped: its resume is still due', async () => {
  const before = await db.query(sql('test.before')`select id from dead_letters`);
  const lost = { v: 1, type: 'resume', batchIds: [randomUUID()] };
  await client.send(new SendMessageCommand({ QueueUrl: deadLetters.url, MessageBody: JSON.stringify(lost) }));
  const left = async () => {
    const { Attributes = {} } = await client.send(
      new GetQueueAttributesCommand({
        QueueUrl: deadLetters.url,
        AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
      }),
    );
    return Object.values(Attributes).every((count) => count === '0');
  };
  expect(await until(left, 20_000, 100)).toBe(true);
  expect(await db.query(sql('test.after')`select id from dead_letters`)).toHaveLength(before.length);
});
