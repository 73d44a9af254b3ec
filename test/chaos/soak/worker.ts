import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../../core/db/connect.ts';
import { guardedAgent } from '../../../core/http/guard.ts';
import { takeDeadLetters } from '../../../core/research/dead-letters.ts';
import { dispatch } from '../../../core/research/dispatch.ts';
import { parseMessage, readStamps, stampsAttribute } from '../../../core/research/queue.ts';
import { sweep } from '../../../core/research/sweep.ts';
import { sqsQueue } from '../../../lambdas/sqs.ts';
import { onOrphaned } from '../../../local/stack/orphan.ts';
import { sqsClient } from '../../../local/stack/queues.ts';
import { pollQueue } from '../../../local/stack/sqs-source.ts';

/** A worker of the soak: takes messages, out of order and some of them twice, until it is killed. */
export interface WorkerConfig {
  does: 'dispatch' | 'sweep';
  databaseUrl: string;
  endpoint: string;
  research: { url: string; arn: string };
  deadLetters: { url: string; arn: string };
  invocationMs: number;
  leaseSeconds: number;
  duplicates: number;
}

const config = JSON.parse(process.argv[2] ?? '') as WorkerConfig;
onOrphaned(() => process.exit(1));
const client = sqsClient(config.endpoint);
const deps = {
  db: connect(config.databaseUrl, { max: 2 }),
  http: guardedAgent({ allowedNetworks: ['127.0.0.0/8'], connections: 50 }),
  queue: sqsQueue(client, config.research.url),
  deliveries: { send: async () => [] },
  log: { info: () => undefined, warn: () => undefined },
  clock: Date.now,
  publicUrl: 'http://127.0.0.1:1',
  claimLeaseSeconds: config.leaseSeconds,
  concurrency: 50,
};
const invocation = () => {
  const until = Date.now() + config.invocationMs;
  return { remainingMs: () => until - Date.now() };
};

interface Message {
  messageId: string;
  body: string;
  attributes: { ApproximateReceiveCount?: string };
  messageAttributes: Record<string, { stringValue?: string }>;
}
/** Bodies that come a second time, with some later event. */
const again: string[] = [];

async function run(records: Message[]): Promise<void> {
  const bodies = records.map((record) => record.body).sort(() => Math.random() - 0.5);
  for (const body of bodies) {
    if (Math.random() >= config.duplicates) continue;
    again.push(body);
    process.send?.({ duplicates: 1 });
  }
  if (again.length > 3) bodies.unshift(...again.splice(0, 2));
  const jobIds = bodies.flatMap((body) => {
    const parsed = parseMessage(body);
    return parsed.ok ? parsed.message.jobIds : [];
  });
  await dispatch(deps, jobIds, invocation());
}

if (config.does === 'sweep') {
  for (;;) {
    await sweep(deps, invocation()).catch(() => undefined);
    await sleep(2_000);
  }
} else {
  const source = { batchSize: 10, windowSeconds: 0, concurrency: 2, partialResponses: true };
  pollQueue({
    client,
    queueUrl: config.research.url,
    queueArn: config.research.arn,
    source: source as never,
    invoke: (event) => run(event.Records as Message[]),
    onFailure: () => undefined,
  });
  pollQueue({
    client,
    queueUrl: config.deadLetters.url,
    queueArn: config.deadLetters.arn,
    source: { ...source, concurrency: 1 } as never,
    invoke: (event) =>
      takeDeadLetters(
        deps,
        'research',
        (event.Records as Message[]).map(({ messageId, body, attributes, messageAttributes }) => ({
          messageId,
          body,
          receiveCount: Number(attributes.ApproximateReceiveCount ?? 1),
          stamps: readStamps(messageAttributes[stampsAttribute]?.stringValue),
        })),
      ),
    onFailure: () => undefined,
  });
}
