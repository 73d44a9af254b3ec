import { ProviderDraft } from '../../core/contract/providers.ts';
import { sql } from '../../core/db/sql.ts';
import { getProvider } from '../../core/providers/list.ts';
import { putProvider } from '../../core/providers/put.ts';
import { endpoint, watch } from '../../core/research/health.ts';
import { sweep } from '../../core/research/sweep.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';
import { type AskBody, completeAll, type Reply } from '../support/provider.ts';
import { type Respond, type RunOptions, startRun } from '../support/run.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

const aRun = (respond: Respond, options?: RunOptions) => startRun(db, respond, options);
/** As the tenant does, and else as it was made. */
const put = ({ tenantId, remote }: Awaited<ReturnType<typeof aRun>>, draft: object = {}) =>
  putProvider(
    { db: db.asApi.forTenant(tenantId) },
    tenantId,
    'a-provider',
    ProviderDraft.parse({ kind: 'webhook', url: remote.url, timeoutMs: 2_000, ...draft }),
  );
const broken: Reply = { status: 500 };
const busyForADay: Reply = { status: 429, headers: { 'retry-after': '86400' } };
const missing: Reply = { status: 404 };

const counts = (run: Awaited<ReturnType<typeof aRun>>) =>
  db.query(sql('test.counts')`
    select status, retry_count as retries, count(*) from research_jobs
    where batch_id = ${run.batchId} group by status, retry_count order by status, retry_count`);

test('an endpoint that is not there opens the circuit at once, and no job loses an attempt', async () => {
  const run = await aRun(() => missing, { companies: 500, maxRetries: 0 });
  run.conveyor.deps.concurrency = 1;
  await run.deliver();
  expect(run.remote.asks).toHaveLength(1);
  expect(await run.health()).toMatchObject({ circuit: 'open', reason: 'endpoint_missing', paused: true });
  expect(await counts(run)).toEqual([{ status: 'queued', retries: 0, count: 500 }]);
  await run.close();
});

test('ten asks that fail in a row open it, and the rest is not asked', async () => {
  const run = await aRun(() => broken, { companies: 500 });
  run.conveyor.deps.concurrency = 1;
  await run.deliver();
  expect(run.remote.asks).toHaveLength(10);
  expect(await run.health()).toMatchObject({ circuit: 'open', reason: 'http_500', trips: 1 });
  expect(await counts(run)).toEqual([
    { status: 'queued', retries: 0, count: 400 },
    { status: 'queued', retries: 1, count: 100 },
  ]);
  await run.close();
});

test('failures in a row are counted across invocations, and one good answer forgets them', async () => {
  let reply: Reply = broken;
  const run = await aRun((ask) => (reply === broken ? broken : completeAll(ask)), {
    companies: 40,
    batchSize: 5,
  });
  run.conveyor.deps.concurrency = 1;
  const first = run.conveyor.sent.splice(0);
  const ids = first.flatMap((message) => message.body.jobIds);
  const part = (from: number, to: number) => {
    run.conveyor.sent.splice(0, Infinity, {
      ...(first[0] as (typeof first)[0]),
      body: { v: 1, jobIds: ids.slice(from, to) },
    });
    return run.deliver();
  };
  await part(0, 20);
  expect(await run.health()).toMatchObject({ circuit: 'closed', failed: 4 });
  reply = {};
  await part(20, 25);
  expect(await run.health()).toMatchObject({ circuit: 'closed', failed: 0 });
  await run.close();
});

test('a good answer parts failures in a row, also when it comes after they were written down', async () => {
  const { provider } = await aWorld(db, { companies: 1 });
  const [row] = await db.query<{ endpoint: string }>(
    sql('t')`select ${endpoint} as endpoint from research_providers p where id = ${provider.id}`,
  );
  const asked = { id: provider.id, ...row, batch_size: 1, circuit: 'closed', failed_asks: 0, watched: false };
  const ask = { id: 'x', provider: asked, jobs: [{}] } as never;
  const failure = { type: 'transient', errorCode: 'http_500', errorMessage: '', latencyMs: 1 } as const;
  const failed = () =>
    db.query(
      sql('t')`select failed_asks as failed, circuit from research_providers where id = ${provider.id}`,
    );
  const health = watch({ db: db.asWorker, clock: Date.now });
  for (let n = 0; n < 9; n++) health.observe(ask, failure);
  await health.write();
  expect(await failed()).toEqual([{ failed: 9, circuit: 'closed' }]);
  health.observe(ask, { type: 'accepted', latencyMs: 1 });
  await health.write();
  expect(await failed()).toEqual([{ failed: 0, circuit: 'closed' }]);
});

test('an open circuit lets one job probe; a failure keeps it open for longer and burns nothing', async () => {
  const run = await aRun(() => missing, { companies: 30, maxRetries: 0 });
  await run.deliver();
  const before = run.remote.asks.length;
  for (const trips of [2, 3]) {
    await run.unpause();
    run.conveyor.sent.splice(0);
    await db.query(
      sql('test.unfed')`update research_jobs set fed_until = null where batch_id = ${run.batchId}`,
    );
    await sweep(run.conveyor.deps, { remainingMs: () => 60_000 });
    expect(run.conveyor.sent.flatMap((message) => message.body.jobIds)).toHaveLength(1);
    await run.deliver();
    expect(await run.health()).toMatchObject({ circuit: 'open', trips, paused: true });
  }
  const probes = run.remote.asks.slice(before);
  expect(probes.map((ask) => ask.requests.length)).toEqual([1, 1]);
  expect(await counts(run)).toEqual([{ status: 'queued', retries: 0, count: 30 }]);
  await run.close();
});

test('of two claims that want to probe one may, and while it is out the circuit shows half open', async () => {
  let seen: unknown[] = [];
  const run = await aRun(
    async (ask) => {
      if (seen.length === 0) return missing;
      seen.push((await run.health()).circuit);
      return completeAll(ask);
    },
    { companies: 30 },
  );
  await run.deliver();
  seen = ['probing'];
  await run.unpause();
  const jobs = (await run.jobs()).map((job) => job.id);
  const [message] = run.conveyor.sent.splice(0);
  if (!message) throw new Error('nothing was fed');
  const asked = run.remote.asks.length;
  const half = (from: number) => ({
    ...message,
    body: { v: 1 as const, jobIds: jobs.slice(from, from + 15) },
  });
  run.conveyor.sent.push(half(0));
  const first = run.deliver();
  run.conveyor.sent.push(half(15));
  await Promise.all([first, run.deliver()]);
  expect(run.remote.asks.slice(asked).filter((ask) => ask.requests.length === 1).length).toBeGreaterThan(0);
  expect(seen[1]).toBe('half_open');
  expect(await run.health()).toMatchObject({ circuit: 'closed', reason: null, trips: 0, paused: false });
  await run.conveyor.drain();
  expect(await counts(run)).toEqual([{ status: 'completed', retries: 0, count: 30 }]);
  await run.close();
});

test('a probe whose process died is followed by another once its lease has ended', async () => {
  const run = await aRun((ask, count) => (count <= 3 ? missing : completeAll(ask)), { companies: 30 });
  await run.deliver();
  await db.query(sql('test.half')`
    update research_providers set circuit = 'half_open', paused_until = now(), probe_until = now() - interval '1 s'
    where id = ${run.provider.id}`);
  await run.conveyor.drain();
  expect(await run.health()).toMatchObject({ circuit: 'closed' });
  expect(await counts(run)).toEqual([{ status: 'completed', retries: 0, count: 30 }]);
  await run.close();
});

test('a wrong secret fails the jobs that were asked about, and opens the circuit for the rest', async () => {
  const run = await aRun(() => ({ status: 401 }), { companies: 300 });
  run.conveyor.deps.concurrency = 1;
  await run.deliver();
  expect(await counts(run)).toEqual([
    { status: 'failed', retries: 0, count: 100 },
    { status: 'queued', retries: 0, count: 200 },
  ]);
  expect(await run.health()).toMatchObject({ circuit: 'open', reason: 'http_401' });
  await run.close();
});

test('a no to some companies is no reason to open it', async () => {
  const run = await aRun(() => ({ status: 422 }), { companies: 300 });
  await run.deliver();
  expect(await run.health()).toMatchObject({ circuit: 'closed', failed: 0 });
  expect(await counts(run)).toEqual([{ status: 'failed', retries: 0, count: 300 }]);
  await run.close();
});

test('a provider that complains is asked more slowly, and faster again when it stops', async () => {
  let busy = true;
  const respond = (ask: AskBody): Reply =>
    busy ? { status: 429, headers: { 'retry-after': '1' } } : completeAll(ask);
  const run = await aRun(respond, { companies: 4_500, ratePerSecond: 1_000 });
  await run.deliver();
  expect(await run.health()).toMatchObject({ circuit: 'closed', rate: 500, paused: true });
  busy = false;
  const rates: (number | null)[] = [];
  for (let second = 0; second < 6; second++) {
    await run.unpause();
    await db.query(sql('test.later')`
      update research_providers set adapted_at = adapted_at - interval '1 s', permits_at = permits_at - interval '1 s'
      where id = ${run.provider.id}`);
    await run.deliver();
    rates.push((await run.health()).rate);
  }
  expect(rates).toEqual([600, 700, 800, 900, null, null]);
  await run.close();
});

test('without a rate of its own, a provider that complains gets half of what it took', async () => {
  const { provider } = await aWorld(db, { companies: 1 });
  const [row] = await db.query<{ endpoint: string }>(
    sql('t')`select ${endpoint} as endpoint from research_providers p where id = ${provider.id}`,
  );
  let now = 0;
  const health = watch({ db: db.asWorker, clock: () => now });
  const asked = {
    id: provider.id,
    ...row,
    batch_size: 10,
    circuit: 'closed',
    failed_asks: 0,
    watched: false,
  };
  const ask = { id: 'x', provider: asked, jobs: Array(10).fill({}) } as never;
  const no = {
    type: 'throttled',
    errorCode: 'throttled',
    errorMessage: '',
    pauseMs: 1_000,
    latencyMs: 1,
  } as const;
  // 500 jobs a second for a minute, written down twice a second.
  for (let half = 1; half <= 120; half++) {
    now += 500;
    for (let n = 0; n < 25; n++)
      health.observe(ask, half === 120 && n > 15 ? no : { type: 'accepted', latencyMs: 1 });
    await health.write();
  }
  const [seen] = await db.query(
    sql('t')`select adapted_rate, adapted_from from research_providers where id = ${provider.id}`,
  );
  expect(seen).toEqual({ adapted_rate: 250, adapted_from: 500 });
});

test('of a quota a suspect takes a whole ask', async () => {
  const run = await aRun(completeAll, { companies: 60, batchSize: 10 });
  await db.query(sql('t')`update research_jobs set crash_count = 1 where batch_id = ${run.batchId}`);
  await db.query(sql('t')`
    update research_providers set quota_asks = 3, quota_until = now() + interval '1 hour' where id = ${run.provider.id}`);
  await run.deliver();
  expect(run.remote.asks.map((ask) => ask.requests.length)).toEqual([1, 1, 1]);
  expect(await run.health()).toMatchObject({ quota: 0 });
  await run.close();
});

test('what a provider says is left of its quota is what the next claim takes', async () => {
  const respond = (ask: AskBody, count: number): Reply => ({
    ...completeAll(ask),
    headers: { ratelimit: `"default";r=${Math.max(0, 3 - count)};t=600` },
  });
  const run = await aRun(respond, { companies: 100 });
  run.conveyor.deps.concurrency = 1;
  const ids = run.conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  run.conveyor.sent.push({
    body: { v: 1, jobIds: ids.slice(0, 10) },
    delaySeconds: 0,
    groupId: run.tenantId,
  });
  await run.deliver();
  expect(await run.health()).toMatchObject({ quota: 2, paused: false });
  run.conveyor.sent.splice(0, Infinity, {
    body: { v: 1, jobIds: ids.slice(10) },
    delaySeconds: 0,
    groupId: run.tenantId,
  });
  await run.deliver();
  expect(run.remote.asks.map((ask) => ask.requests.length)).toEqual([10, 10, 10]);
  expect(await run.health()).toMatchObject({ circuit: 'closed', quota: 0, paused: true });
  await run.close();
});

test('the state of a provider is told by the API and the change feed, and a new address starts afresh', async () => {
  const run = await aRun(() => missing, { companies: 5 });
  await run.deliver();
  const bound = { db: db.asApi.forTenant(run.tenantId) };
  expect(await getProvider(bound, run.tenantId, 'a-provider')).toMatchObject({
    circuit: 'open',
    circuitReason: 'endpoint_missing',
    version: 2,
  });
  const [told] = await db.query<{ count: number }>(sql('test.told')`
    select count(*) from changes where user_id = ${run.tenantId} and entity = 'provider' and op = 'update'`);
  expect(told?.count).toBe(1);
  const { provider } = await put(run, { url: 'https://mended.example/' });
  expect(provider).toMatchObject({ circuit: 'closed', circuitReason: null, pausedUntil: null });
  await run.close();
});

test('a job that met a long Retry-After is held by the pause alone, and does not circulate meanwhile', async () => {
  const run = await aRun(() => busyForADay, { companies: 10 });
  await run.deliver();
  const held = () =>
    db.query(sql('test.held')`
      select count(*) filter (where run_at > now() + interval '1 minute') as late,
        count(*) filter (where fed_until is not null) as fed
      from research_jobs where batch_id = ${run.batchId}`);
  await sweep(run.conveyor.deps, { remainingMs: () => 60_000 });
  expect(await run.health()).toMatchObject({ circuit: 'closed', paused: true });
  expect(await held()).toEqual([{ late: 0, fed: 0 }]);
  await put(run, { url: `${run.remote.url}mended` });
  await sweep(run.conveyor.deps, { remainingMs: () => 60_000 });
  expect(await held()).toEqual([{ late: 0, fed: 10 }]);
  await run.close();
});

test.each([
  ['a pause of a day', busyForADay],
  ['an open circuit', missing],
])('a provider that is put again as it is has no more %s', async (_, reply) => {
  const run = await aRun(() => reply, { companies: 1 });
  await run.deliver();
  const { provider } = await put(run);
  expect(provider).toMatchObject({ pausedUntil: null, circuit: 'closed', version: 3 });
  expect(await put(run)).toMatchObject({ provider: { version: 3 } });
  await run.close();
});

test.each([
  ['a 404', missing],
  ['a 429 of a day', busyForADay],
])('%s from the old address, answered after the change, does not stop the new one', async (_, late) => {
  const gate = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const run = await aRun(
    async () => {
      asked.resolve();
      await gate.promise;
      return late;
    },
    { companies: 1 },
  );
  const done = run.deliver();
  await asked.promise;
  await put(run, { url: 'http://127.0.0.1:9/new' });
  gate.resolve();
  await done;
  expect(await run.health()).toMatchObject({ circuit: 'closed', paused: false, failed: 0 });
  await run.close();
});
