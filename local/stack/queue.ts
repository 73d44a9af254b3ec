import { join } from 'node:path';
import { buildApp } from 'fauxqs';
import { root } from './paths.ts';

export interface Queue {
  endpoint: string;
  stop(): Promise<void>;
}

/** fauxqs's own start binds every address; its parts, which it does not export, let us bind loopback only. */
const part = async (file: string): Promise<Record<string, new (folder?: string) => Store>> =>
  import(join(root, 'node_modules/fauxqs/dist', file));

interface Store {
  persistence?: Store;
  allQueues(): Iterable<{ persistence?: Store }>;
  load(...stores: Store[]): void;
  close(): void;
}

async function make(file: string, name: string, folder?: string): Promise<Store> {
  const Made = (await part(file))[name];
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

  const app = buildApp({ logger: false, stores: { sqsStore, snsStore, s3Store } as never });
  app.addHook('preClose', async () => persistence.close());
  const endpoint = await app.listen({ host: '127.0.0.1', port });
  return { endpoint, stop: () => app.close() };
}
