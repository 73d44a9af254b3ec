import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from './postgres.ts';
import { startQueue } from './queue.ts';

/**
 * Postgres and the queue alone, for tests: prints one line of JSON, `{ databaseUrl, sqsEndpoint }`, and ends when
 * standard input closes, so that it never outlives whoever started it. With `--temporary` its data ends with it.
 */
const { values } = parseArgs({ options: { home: { type: 'string' }, temporary: { type: 'boolean' } } });
const home = resolve(values.home ?? '.aim/services');
mkdirSync(home, { recursive: true });

const [postgres, queue] = await Promise.all([
  startPostgres({ home, log: join(home, 'postgres.log') }),
  startQueue({ folder: join(home, 'queue') }),
]);
console.log(JSON.stringify({ databaseUrl: postgres.url, sqsEndpoint: queue.endpoint }));

process.stdin.resume();
process.stdin.once('end', async () => {
  await Promise.all([values.temporary ? postgres.remove() : postgres.stop(), queue.stop()]);
  process.exit(0);
});
