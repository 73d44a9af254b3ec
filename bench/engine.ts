import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '../core/db/connect.ts';
import { sql } from '../core/db/sql.ts';
import { endBatches } from '../core/research/batches.ts';
import { claim } from '../core/research/claim.ts';
import { settle } from '../core/research/settle.ts';
import { busy, logins, million, recovery, vacuum } from './engine/limits.ts';
import { aScene, completed, engine, instantProvider, type Scene, start, submit } from './engine/ours.ts';
import {
  bullMq,
  type Company,
  connections,
  graphileWorker,
  installPeers,
  madeUp,
  noQueue,
  type Peer,
  pgBoss,
} from './engine/peers.ts';
import { median, peakMemoryMb, type Row } from './row.ts';
import { aWorld, type World } from './world.ts';

const rounds = 3;
/** BENCH_SCALE=0.1 for a look; the targets are those of the whole. */
const scale = Number(process.env.BENCH_SCALE ?? 1);
const toEnqueue = 200_000 * scale;
const toResearch = 50_000 * scale;
const toSend = 1_000_000 * scale;

const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  const startedAt = performance.now();
  await work();
  return (performance.now() - startedAt) / 1000;
};

/** The dispatch engine beside other job queues, each at its best, in turn, on the same server. */
export async function* engineGroup(): AsyncGenerator<Row> {
  installPeers();
  const home = mkdtempSync(join(tmpdir(), 'aim-bench-peers-'));
  const world = await aWorld();
  const urls = await logins(world);
  const api = connect(urls.api, { max: 2 });
  const provider = await instantProvider();
  const redis = await bullMq(world.url, home);
  if (!redis) console.error('SKIPPED: BullMQ; there is no redis-server on this machine');
  const none = noQueue(world.url);
  const peers = [await pgBoss(world.url), await graphileWorker(world.url), ...(redis ? [redis] : [])];
  try {
    yield* enqueueing(world, api, peers);
    for (const batchSize of [1, 10])
      yield* researching(world, urls.worker, api, { peers, none }, provider.url, batchSize);
    yield await busy(world, api, urls.worker, 60);
    yield await recovery(world, api, urls.worker);
    yield await million(world, api, urls.worker, toSend);
  } finally {
    for (const peer of [...peers, none]) await peer.close();
    provider.close();
    await api.close();
    await world.close();
    rmSync(home, { recursive: true, force: true });
  }
}

async function* enqueueing(
  world: World,
  api: ReturnType<typeof connect>,
  peers: Peer[],
): AsyncGenerator<Row> {
  const ours: number[] = [];
  const theirs = new Map<string, number[]>(peers.map((peer) => [peer.name, []]));
  const companies = madeUp(toEnqueue);
  for (let round = 0; round < rounds; round++) {
    const scene = await aScene(world, toEnqueue, { url: 'http://127.0.0.1:9/', batchSize: 10 });
    await vacuum(world);
    ours.push(toEnqueue / (await seconds(() => submit(api, world.db, scene))));
    await world.db.query(sql('bench.forget')`
      update research_jobs set status = 'cancelled', finished_at = now() where user_id = ${scene.tenantId}`);
    for (const peer of peers) {
      theirs.get(peer.name)?.push(toEnqueue / (await seconds(() => peer.add(companies))));
      await peer.clear();
    }
  }
  const best = bestOf(theirs);
  const ratio = median(ours) / best.rate;
  yield {
    name: `enqueue of ${toEnqueue.toLocaleString('en')} companies`,
    value: median(ours),
    unit: 'jobs/s',
    versus: best.name,
    ratio,
    target: '≥ 1.5 ×',
    holds: ratio >= 1.5,
    counts: rates(theirs),
  };
}

async function* researching(
  world: World,
  workerUrl: string,
  api: ReturnType<typeof connect>,
  { peers, none }: { peers: Peer[]; none: ReturnType<typeof noQueue> },
  url: string,
  batchSize: number,
): AsyncGenerator<Row> {
  const able = peers.filter((peer) => batchSize === 1 || peer.batches);
  const ours: number[] = [];
  const bare: number[] = [];
  const ceiling: number[] = [];
  const theirs = new Map<string, number[]>(able.map((peer) => [peer.name, []]));
  let count = { sendCalls: 0, statements: 0 };
  let lost = 0;
  for (let round = 0; round < rounds; round++) {
    const scene = await aScene(world, toResearch, { url, batchSize });
    const alone = await aScene(world, toResearch, { url, batchSize });
    const own = engine(workerUrl, { connections });
    await submit(api, world.db, scene);
    const batchId = await submit(api, world.db, alone);
    await vacuum(world);
    const work = async () => {
      await start(own.deps, scene);
      await own.drain();
    };
    ours.push(toResearch / (await seconds(work)));
    lost += toResearch - (await completed(world.db, scene));
    count = own.count;
    bare.push(toResearch / (await seconds(() => statementsOnly(own.deps.db, world, batchId))));
    await own.close();
    const free = await aScene(world, toResearch, { url, batchSize });
    const companies = await companiesOf(world, free);
    await vacuum(world);
    ceiling.push(toResearch / (await seconds(() => none.work(companies, free, url, batchSize))));
    for (const peer of able) {
      // A campaign of its own for each, so that every one inserts its rows into the same table.
      const own = await aScene(world, toResearch, { url, batchSize });
      await peer.add(await companiesOf(world, own));
      await vacuum(world);
      let stored = 0;
      const took = await seconds(async () => {
        stored = await peer.work(own, toResearch, url, batchSize);
      });
      if (stored < toResearch) throw new Error(`${peer.name} stored ${stored} of ${toResearch} results`);
      theirs.get(peer.name)?.push(toResearch / took);
    }
  }
  const best = bestOf(theirs);
  const ratio = median(ours) / best.rate;
  const wanted = batchSize === 1 ? 1.2 : 1.5;
  yield {
    name: `research of ${toResearch.toLocaleString('en')} companies, ${batchSize} a request`,
    value: median(ours),
    unit: 'companies/s',
    versus: best.name,
    ratio,
    target: `≥ ${wanted} ×, none lost`,
    holds: ratio >= wanted && lost === 0,
    counts: {
      ...rates(theirs),
      'no queue at all per s': Math.round(median(ceiling)),
      statements: count.statements,
      'send calls': count.sendCalls,
      lost,
      'peak MB': peakMemoryMb(),
    },
  };
  const most = median(ceiling) / best.rate;
  yield {
    name: `the POSTs and the rows without any queue, ${batchSize} a request`,
    value: median(ceiling),
    unit: 'companies/s',
    versus: `${best.name}: no queue can do more`,
    ratio: most,
    target: null,
    holds: null,
    counts: { 'ours against it %': Math.round((100 * median(ours)) / median(ceiling)) },
  };
  const against = median(ours) / median(bare);
  yield {
    name: `the same, ${batchSize} a request`,
    value: median(ours),
    unit: 'companies/s',
    versus: 'its claims and settles alone',
    ratio: against,
    target: '≥ 0.5 ×',
    holds: against >= 0.5,
    counts: { 'alone per s': Math.round(median(bare)) },
  };
}

/** A thousand ids at a time, four lanes, as the engine has: claim and settle, and nobody is asked. */
async function statementsOnly(db: Parameters<typeof claim>[0], world: World, batchId: string): Promise<void> {
  const rows = await world.db.query<{ id: string }>(sql('bench.ids')`
    select id from research_jobs where batch_id = ${batchId} order by id`);
  const ids = rows.map((row) => row.id);
  const lane = async () => {
    for (let part = ids.splice(0, 1_000); part.length > 0; part = ids.splice(0, 1_000)) {
      const asks = await claim(db, part, { leaseSeconds: 120 });
      const found = { type: 'completed' as const, summary: 'found', findings: { employees: 7 } };
      await settle(
        db,
        asks.flatMap((ask) =>
          ask.jobs.map((job) => ({ jobId: job.id, attemptId: job.attempt_id, ...found })),
        ),
      );
      await endBatches(db, [batchId]);
    }
  };
  await Promise.all([lane(), lane(), lane(), lane()]);
}

const companiesOf = (world: World, { campaignId }: Scene) =>
  world.db.query<Company>(sql('bench.companies')`
    select id, name, domain from companies where campaign_id = ${campaignId} order by id`);

function bestOf(theirs: Map<string, number[]>): { name: string; rate: number } {
  const all = [...theirs].map(([name, each]) => ({ name, rate: median(each) }));
  return all.reduce((best, each) => (each.rate > best.rate ? each : best), { name: 'no peer', rate: 0 });
}

const rates = (theirs: Map<string, number[]>) =>
  Object.fromEntries([...theirs].map(([name, each]) => [`${name} per s`, Math.round(median(each))]));
