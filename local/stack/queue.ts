import { join } from 'node:path';
import { buildApp } from 'fauxqs';
import { root } from './paths.ts';

export interface Queue {
  endpoint: string;
  stop(): Promise<void>;
}

/** fauxqs's own start binds every address; its parts, which it does not export, let us bind loopback only. */
const part = async <Exports>(file: string): Promise<Exports> =>
  import(join(root, 'node_modules/fauxqs/dist', file));

interface Store {
  persistence?: Store;
  allQueues(): Iterable<{
    persistence?: Store;
    inflightMessages: Map<string, { visibilityDeadline: number }>;
  }>;
  load(...stores: Store[]): void;
  close(): void;
}

async function make(file: string, name: string, folder?: string): Promise<Store> {
  const Made = (await part<Record<string, new (folder?: string) => Store>>(file))[name];
  if (!Made) throw new Error(`this version of fauxqs has no ${name} in ${file}`);
  return new Made(folder);
}

/**
 * Starts a local SQS on loopback. Messages and queues are kept in `folder` and survive a kill.
 * @param port 0 for any
 */
export async function startQueue({ folder, port = 0 }: { folder: string; port?: number }): Promise<Queue> {
  const [sqsStore, snsStore, s3Store, persistence] = await Promise.all([
    make('sqs/sqsStore.js', 'SqsStore'),
    make('sns/snsStore.js', 'SnsStore'),
    make('s3/s3Store.js', 'S3Store'),
    make('persistence.js', 'PersistenceManager', folder),
  ]);
  persistence.load(sqsStore, snsStore, s3Store);
  for (const store of [sqsStore, snsStore, s3Store, ...sqsStore.allQueues()]) store.persistence = persistence;

  // Whoever was working on these died with the last run: they come again at once, not when their time is over.
  for (const queue of sqsStore.allQueues()) {
    for (const taken of queue.inflightMessages.values()) taken.visibilityDeadline = Date.now();
  }

  const app = buildApp({ logger: false, stores: { sqsStore, snsStore, s3Store } as never });
  await closeGaps(app);
  app.addHook('preClose', async () => persistence.close());
  const endpoint = await app.listen({ host: '127.0.0.1', port });
  return { endpoint, stop: () => app.close() };
}

const maxDelaySeconds = 900;

/** Two things SQS does and fauxqs does not: it takes text beyond the BMP, and refuses delays above 15 minutes. */
async function closeGaps(app: ReturnType<typeof buildApp>): Promise<void> {
  const { INVALID_MESSAGE_BODY_CHAR: invalid } = await part<{ INVALID_MESSAGE_BODY_CHAR: RegExp }>(
    'sqs/sqsTypes.js',
  );
  const outsideXml = /[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u;
  invalid.test = (text) => outsideXml.test(text);

  app.addHook('preHandler', async (request, reply) => {
    if (!String(request.headers['x-amz-target']).startsWith('AmazonSQS.SendMessage')) return;
    const { DelaySeconds, Entries = [] } = request.body as Delayed & { Entries?: Delayed[] };
    const tooLong = [DelaySeconds, ...Entries.map((entry) => entry.DelaySeconds)].find(
      (seconds) => seconds !== undefined && !(seconds >= 0 && seconds <= maxDelaySeconds),
    );
    if (tooLong === undefined) return;
    await reply.code(400).send({
      __type: 'com.amazonaws.sqs#InvalidParameterValue',
      message: `Value ${tooLong} for parameter DelaySeconds is invalid. Reason: must be between 0 and ${maxDelaySeconds}.`,
    });
  });
}

interface Delayed {
  DelaySeconds?: number;
}
