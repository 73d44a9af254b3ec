import { createWriteStream, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '../../core/db/connect.ts';
import { applyMigrations } from '../../core/db/migrate.ts';
import { type Environments, environments } from './environments.ts';
import { addressOf, serveFunctionUrl, serveInvoke } from './http.ts';
import { localKey } from './key.ts';
import { lockHome } from './lock.ts';
import { giveLogins } from './logins.ts';
import { freePort, isFree } from './ports.ts';
import { startPostgres } from './postgres.ts';
import { startQueue } from './queue.ts';
import { createQueues, localCredentials, sqsClient } from './queues.ts';
import { resendWaiting } from './resend.ts';
import { schedule } from './schedule.ts';
import { pollQueue } from './sqs-source.ts';
import { readTemplate } from './template.ts';

/** Of a function without a concurrency of its own in serverless.yml. */
const invocationsAtOnce = 10;

export interface StackOptions {
  /** Data, logs and the key of this machine. */
  home: string;
  /** Of the API; another free one is taken when it is in use. */
  port?: number;
  /** Address the API listens on; loopback unless told otherwise. */
  host?: string;
  /** Called with one line for each thing that started. */
  say?: (line: string) => void;
  /** The file that says what to run; the project's own unless a test brings another. */
  template?: string;
}

export interface Stack {
  /** Of the API. */
  url: string;
  apiKey: string;
  /** As the owner; the functions have roles of their own. */
  databaseUrl: string;
  /** Where the data of Postgres lies: below the home, or elsewhere when its user cannot get there. */
  databaseFolder: string;
  sqsEndpoint: string;
  queueUrls: Map<string, string>;
  lambdaEndpoint: string;
  stop(): Promise<void>;
}

/**
 * Starts Postgres, the queue, and the functions of serverless.yml with their event sources, schedules and URL, on this
 * machine. Everything ends with `stop()`, and with this process however it ends.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { home, host = '127.0.0.1', say = () => undefined } = options;
  const checked = readTemplate(options.template);
  for (const { bundle, name } of checked.functions) {
    if (!existsSync(bundle))
      throw new Error(`${bundle} is missing; the function ${name} is not built (npm run build)`);
  }
  // What was started, to be stopped in the reverse order.
  const started: (() => unknown)[] = [lockHome(home)];
  const stop = async () => {
    for (const end of started.splice(0).reverse()) await end();
  };
  try {
    return await start();
  } catch (error) {
    await stop();
    throw error;
  }

  async function start(): Promise<Stack> {
    mkdirSync(join(home, 'log'), { recursive: true });
    const postgres = await startPostgres({ home, log: join(home, 'log', 'postgres.log') });
    started.push(() => postgres.stop());
    if (postgres.folder !== join(home, 'postgres'))
      say(
        `Postgres cannot run as root, and no other user may enter ${home}: its data is in ${postgres.folder}, and lost when that is emptied`,
      );
    const queue = await startQueue({ folder: join(home, 'queue') });
    started.push(() => queue.stop());
    await applyMigrations(postgres.url);
    const logins = await giveLogins(postgres.url);
    const template = readTemplate(options.template, {
      ...process.env,
      API_DATABASE_URL: logins.api,
      WORKER_DATABASE_URL: logins.worker,
    });
    const db = connect(postgres.url);
    const apiKey = await resendWaiting(db)
      .then(() => localKey(db, home))
      .finally(() => db.close());

    const client = sqsClient(queue.endpoint);
    started.push(() => client.destroy());
    const queues = await createQueues(client, template.queues);
    const wanted = options.port ?? 8787;
    const port = (await isFree(wanted, host)) ? wanted : await freePort(host);
    if (port !== wanted) say(`port ${wanted} is in use; the API takes ${port}`);

    const invokers = new Map<string, Environments['invoke']>();
    const invokeServer = await serveInvoke(invokers);
    started.push(() => invokeServer.stop());
    const env = {
      ...template.environment,
      ...localCredentials,
      PATH: process.env.PATH ?? '',
      NODE_OPTIONS: '',
      POWERTOOLS_LOG_LEVEL: 'INFO',
      // Functions are called by their name in serverless.yml here.
      ARCHIVE_FUNCTION: 'archive',
      RESEARCH_QUEUE_URL: queues.get('ResearchQueue')?.url ?? '',
      DELIVERY_QUEUE_URL: queues.get('DeliveryQueue')?.url ?? '',
      // A provider in a container reaches this machine under another name, and lives in a network of its own.
      PUBLIC_URL: process.env.PUBLIC_URL || addressOf(host, port),
      PROVIDER_ALLOWED_NETWORKS: `127.0.0.0/8,::1/128,${process.env.PROVIDER_ALLOWED_NETWORKS ?? ''}`,
      AWS_ENDPOINT_URL_SQS: queue.endpoint,
      AWS_ENDPOINT_URL_LAMBDA: invokeServer.url,
    };
    let url = '';
    for (const definition of template.functions) {
      const log = createWriteStream(join(home, 'log', `${definition.name}.log`), { flags: 'a' });
      const limit = Math.max(invocationsAtOnce, ...definition.sources.map(({ concurrency }) => concurrency));
      const running = environments(definition, { env: { ...env, ...definition.environment }, log, limit });
      started.push(() => running.stop());
      invokers.set(definition.name, running.invoke);
      const failed = (error: Error, messages: number) =>
        say(
          `${definition.name} failed${messages ? ` with ${messages} messages, which come again` : ''}: ${error.message}`,
        );
      if (definition.hasUrl) {
        const server = await serveFunctionUrl(running.invoke, { host, port });
        started.push(() => server.stop());
        url = server.url;
        say(`${definition.name.padEnd(11)}← function URL ${url} · timeout ${definition.timeoutSeconds} s`);
      }
      for (const source of definition.sources) {
        const target = queues.get(source.queue);
        if (!target) throw new Error(`no queue ${source.queue}`);
        const poller = pollQueue({
          client,
          queueUrl: target.url,
          queueArn: target.arn,
          source,
          invoke: running.invoke,
          onFailure: failed,
        });
        started.push(() => poller.stop());
        say(
          `${definition.name.padEnd(11)}← sqs ${source.queue} · batch ${source.batchSize} · concurrency ${source.concurrency} · timeout ${definition.timeoutSeconds} s${source.partialResponses ? ' · partial batch responses' : ''}`,
        );
      }
      for (const everySeconds of definition.everySeconds) {
        started.push(schedule(definition, everySeconds, running.invoke, failed));
        say(
          `${definition.name.padEnd(11)}← schedule every ${everySeconds} s · timeout ${definition.timeoutSeconds} s`,
        );
      }
    }
    return {
      url,
      apiKey,
      databaseUrl: postgres.url,
      databaseFolder: postgres.folder,
      sqsEndpoint: queue.endpoint,
      queueUrls: new Map([...queues].map(([resource, made]) => [resource, made.url])),
      lambdaEndpoint: invokeServer.url,
      stop,
    };
  }
}
