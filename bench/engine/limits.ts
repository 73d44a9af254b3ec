import { fork } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MockAgent } from 'undici';
import { type Connection, connect } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { sweep } from '../../core/research/sweep.ts';
import { root } from '../../local/stack/paths.ts';
import { type AskBody, completeAll } from '../../test/support/provider.ts';
import { peakMemoryMb, type Row } from '../row.ts';
import type { World } from '../world.ts';
import { aScene, completed, engine, start, submit } from './ours.ts';

const plain = { versus: null, ratio: null };

/** Send calls and memory for a million jobs; the far end answers in this process, for only calls are counted. */
export async function million(world: World, api: Connection, workerUrl: string, jobs: number): Promise<Row> {
  const http = new MockAgent();
  http
    .get('https://instant.example')
    .intercept({ path: '/', method: 'POST' })
    .reply(200, ({ body }) => completeAll(JSON.parse(String(body)) as AskBody).body as object)
    .persist();
  const scene = await aScene(world, jobs, { url: 'https://instant.example/', batchSize: 100 });
  const own = engine(workerUrl, { connections: 4, http });
  await submit(api, world.db, scene);
  const startedAt = performance.now();
  await start(own.deps, scene);
  await own.drain();
  const seconds = (performance.now() - startedAt) / 1000;
  const done = await completed(world.db, scene);
  const { sendCalls, messages, statements } = own.count;
  await own.close();
  const most = Math.ceil(jobs * 0.0011);
  return {
    ...{
      name: `send calls for ${jobs.toLocaleString('en')} jobs without limits`,
      value: sendCalls,
      unit: 'calls',
      ...plain,
    },
    target: `≤ ${most}, all done`,
    holds: sendCalls <= most && done === jobs,
    counts: {
      completed: done,
      messages,
      statements,
      seconds: Math.round(seconds),
      'peak MB': peakMemoryMb(),
    },
  };
}

/** Five at a time, two seconds an answer: how much of the time the provider had five in work. */
export async function busy(world: World, api: Connection, workerUrl: string, jobs: number): Promise<Row> {
  const answerMs = 2_000;
  const concurrency = 5;
  const spans: [from: number, to: number][] = [];
  let now = 0;
  let most = 0;
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', async () => {
      const from = performance.now();
      most = Math.max(most, ++now);
      await sleep(answerMs);
      now--;
      spans.push([from, performance.now()]);
      const ask = JSON.parse(Buffer.concat(parts).toString('utf8')) as AskBody;
      response.end(JSON.stringify(completeAll(ask).body));
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const scene = await aScene(world, jobs, { url, batchSize: 1, concurrency, timeoutMs: 10_000 });
  const own = engine(workerUrl, { connections: 4 });
  await submit(api, world.db, scene);
  await start(own.deps, scene);
  let done = false;
  // Lambdas that poll: each looks again after a moment, as long as there is work anywhere.
  const lane = async () => {
    while (!done) {
      await own.drain(1);
      await sleep(20);
    }
  };
  const lanes = Promise.all(Array.from({ length: 4 }, lane));
  while (spans.length < jobs) await sleep(50);
  done = true;
  await lanes;
  const span = Math.max(...spans.map(([, to]) => to)) - Math.min(...spans.map(([from]) => from));
  const share = spans.reduce((sum, [from, to]) => sum + to - from, 0) / (concurrency * span);
  await own.close();
  server.closeAllConnections();
  server.close();
  return {
    ...{
      name: 'a provider of 5 at a time, 2 s an answer, kept busy',
      value: share * 100,
      unit: '%',
      ...plain,
    },
    target: '≥ 90 %, never more than 5',
    holds: share >= 0.9 && most <= concurrency,
    counts: {
      jobs,
      'most at once': most,
      statements: own.count.statements,
      'send calls': own.count.sendCalls,
    },
  };
}

/** From the kill of a worker that waits for an answer to the next time its job is asked about. */
export async function recovery(world: World, api: Connection, workerUrl: string): Promise<Row> {
  const leaseSeconds = 10;
  const sweepSeconds = 5;
  let askedAt = 0;
  let asks = 0;
  const asked = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      asks++;
      if (asks === 1) return asked.resolve();
      askedAt ||= performance.now();
      const ask = JSON.parse(Buffer.concat(parts).toString('utf8')) as AskBody;
      return response.end(JSON.stringify(completeAll(ask).body));
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const scene = await aScene(world, 1, { url, batchSize: 1, timeoutMs: 30_000 });
  await submit(api, world.db, scene);
  const own = engine(workerUrl, { connections: 2 });
  await start(own.deps, scene);
  const jobIds = own.waiting.splice(0).flatMap((message) => message.body.jobIds);
  const errand = JSON.stringify({ workerUrl, jobIds, leaseSeconds });
  const victim = fork(join(root, 'bench/engine/victim.ts'), [errand], { execArgv: ['--no-warnings'] });
  await asked.promise;
  victim.kill('SIGKILL');
  const killedAt = performance.now();
  while (askedAt === 0 && performance.now() - killedAt < 60_000) {
    await sleep(sweepSeconds * 1_000);
    await sweep(own.deps, { remainingMs: () => 60_000 });
    // Delays of the queue are kept, as the queue would.
    for (const message of own.waiting.splice(0)) {
      sleep(message.delaySeconds * 1_000).then(
        () => {
          own.waiting.push(message);
          return own.drain(1);
        },
        () => undefined,
      );
    }
  }
  const seconds = (askedAt - killedAt) / 1000;
  await sleep(500);
  await own.close();
  server.closeAllConnections();
  server.close();
  const limit = leaseSeconds + sweepSeconds + 5;
  return {
    ...{ name: 'a killed worker’s job is asked about again', value: seconds, unit: 's', ...plain },
    target: `≤ ${limit} s: lease ${leaseSeconds} + sweep ${sweepSeconds} + 5 (deployed: lease + 65)`,
    holds: askedAt > 0 && seconds <= limit,
    counts: { completed: await completed(world.db, scene), asks },
  };
}

/** As the roles that are deployed. */
export async function logins(world: World): Promise<{ api: string; worker: string }> {
  const as = async (role: 'aim_api' | 'aim_worker') => {
    await world.db.query({
      statement: 'bench.login',
      text: `alter role ${role} login password 'bench'`,
      values: [],
    });
    const url = new URL(world.url);
    url.username = role;
    url.password = 'bench';
    return url.href;
  };
  return { api: await as('aim_api'), worker: await as('aim_worker') };
}

export const asOwner = (world: World, max: number) => connect(world.url, { max });
export const vacuum = (world: World) => world.db.query(sql('bench.vacuum')`vacuum analyze`);
