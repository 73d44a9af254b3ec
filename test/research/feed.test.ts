import { randomUUID } from 'node:crypto';
import { MockAgent } from 'undici';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { dispatch } from '../../core/research/dispatch.ts';
import { feed, feedAll } from '../../core/research/feed.ts';
import type { OutgoingMessage } from '../../core/research/queue.ts';
import { aConveyor } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aProvider, aTenant, aWorld, someCompanies } from '../support/factories.ts';
import { type AskBody, completeAll } from '../support/provider.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());
const always = { hasTime: () => true };
const plenty = { remainingMs: () => 60_000 };

async function fedOf(providerId: string): Promise<number> {
  const [row] = await db.query<{ count: number }>(sql('test.fed')`
    select count(*) from research_jobs where provider_id = ${providerId} and fed_until is not null`);
  return row?.count ?? 0;
}

test('a tenant with a huge backlog delays one with ten jobs by no more than a window', async () => {
  const huge = await aWorld(db, { companies: 30_000 });
  const small = await aWorld(db, { companies: 10 });
  const conveyor = aConveyor(db);
  await conveyor.start(huge.tenantId, huge.campaignId);
  await feedAll(conveyor.deps, always);
  await conveyor.start(small.tenantId, small.campaignId);
  const tenants = conveyor.sent.flatMap((message) => message.body.jobIds.map(() => message.groupId));
  expect(tenants.indexOf(small.tenantId)).toBeLessThanOrEqual(10_000);
  expect(tenants.filter((tenant) => tenant === small.tenantId)).toHaveLength(10);
  await conveyor.close();
});

test("the window is a tenant's, however many providers he has, shared by weight among those with work", async () => {
  const tenantId = await aTenant(db);
  const campaignId = await aCampaign(db, tenantId);
  await someCompanies(db, tenantId, campaignId, 12_000);
  const conveyor = aConveyor(db);
  const heavy = await aProvider(db, tenantId, { name: 'heavy' });
  const light = await aProvider(db, tenantId, { name: 'light' });
  await aProvider(db, tenantId, { name: 'idle' });
  await db.query(sql('test.weight')`update research_providers set weight = 4 where id = ${heavy.id}`);
  await conveyor.start(tenantId, campaignId, 'heavy');
  expect(await fedOf(heavy.id)).toBe(10_000);
  // As the crowd drains, the newcomer has his share at once and the first goes down to his own.
  await conveyor.start(tenantId, campaignId, 'light');
  expect(await fedOf(light.id)).toBe(2_000);
  await db.query(
    sql('test.drain')`update research_jobs set fed_until = null where provider_id = ${heavy.id}`,
  );
  await feedAll(conveyor.deps, always);
  expect([await fedOf(heavy.id), await fedOf(light.id)]).toEqual([8_000, 2_000]);
  await conveyor.close();
});

test('what is fed together goes out by turns, a message of each tenant', async () => {
  const worlds = [await aWorld(db, { companies: 300 }), await aWorld(db, { companies: 300 })];
  const conveyor = aConveyor(db);
  for (const { tenantId, campaignId } of worlds) await conveyor.start(tenantId, campaignId);
  await db.query(sql('test.unfed')`
    update research_jobs set fed_until = null where user_id = any(${worlds.map((world) => world.tenantId)}::uuid[])`);
  conveyor.sent.splice(0);
  await feed(conveyor.deps, { providerIds: worlds.map((world) => world.provider.id) });
  const turns = conveyor.sent.map((message) => message.groupId);
  expect(turns).toHaveLength(6);
  for (let turn = 0; turn < 6; turn += 2) expect(new Set(turns.slice(turn, turn + 2)).size).toBe(2);
  await conveyor.close();
});

test('jobs that are due later leave room for those that are due now', async () => {
  const { tenantId, campaignId, provider } = await aWorld(db, { companies: 10, concurrency: 5 });
  const conveyor = aConveyor(db);
  await conveyor.start(tenantId, campaignId);
  await db.query(sql('test.later')`
    update research_jobs set fed_until = null, run_at = now() + interval '10 minutes' where provider_id = ${provider.id}`);
  await feed(conveyor.deps, { providerIds: [provider.id] });
  expect(await fedOf(provider.id)).toBe(5);
  const other = await aCampaign(db, tenantId);
  await someCompanies(db, tenantId, other, 10);
  await conveyor.start(tenantId, other);
  expect(await fedOf(provider.id)).toBe(10);
  const delays = conveyor.sent.slice(-1).map((message) => message.delaySeconds);
  expect(delays).toEqual([0]);
  await conveyor.close();
});

test('a provider that is paused is fed its permits for the end of the pause, however often the feed comes by', async () => {
  const { tenantId, campaignId, provider } = await aWorld(db, { companies: 50, concurrency: 5 });
  await db.query(sql('test.pause')`
    update research_providers set paused_until = now() + interval '5 minutes' where id = ${provider.id}`);
  const conveyor = aConveyor(db);
  await conveyor.start(tenantId, campaignId);
  for (let n = 0; n < 3; n++) await feed(conveyor.deps, { providerIds: [provider.id] });
  expect(await fedOf(provider.id)).toBe(5);
  const [delay] = conveyor.sent.map((message) => message.delaySeconds);
  expect(delay).toBeGreaterThan(290);
  await conveyor.close();
});

test('going round all providers leaves none out, wherever it starts, and reads no backlog to find them', async () => {
  const own = await testDatabase();
  const tenantId = await aTenant(own);
  const campaignId = await aCampaign(own, tenantId);
  await someCompanies(own, tenantId, campaignId, 1_000);
  const conveyor = aConveyor(own);
  const providerIds: string[] = [];
  for (let n = 0; n < 130; n++) providerIds.push((await aProvider(own, tenantId, { name: `p-${n}` })).id);
  await own.query(sql('test.batches')`
    with batch as (
      insert into research_batches (user_id, campaign_id, provider_id, kind)
      select ${tenantId}, ${campaignId}, id, 'company' from unnest(${providerIds}::uuid[]) as id returning id, provider_id
    )
    insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind)
    select ${tenantId}, batch.id, c.id, ${campaignId}, batch.provider_id, 'company'
    from batch, lateral (select id from companies where campaign_id = ${campaignId} limit 100) c`);
  await own.query(sql('test.analyze')`analyze research_jobs`);
  const plans: { buffers: number; nodes: string }[] = [];
  const worker: Db = {
    transaction: (work) => own.asWorker.transaction(work),
    async query<Row>(statement: Parameters<Db['query']>[0]) {
      if (statement.statement === 'feed.providers') {
        const text = `explain (analyze, buffers, format json) ${statement.text}`;
        const [row] = await own.asWorker.query<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>({
          ...statement,
          text,
        });
        const plan = row?.['QUERY PLAN'][0].Plan;
        plans.push({
          buffers: (plan?.['Shared Hit Blocks'] ?? 0) + (plan?.['Shared Read Blocks'] ?? 0),
          nodes: JSON.stringify(plan),
        });
      }
      return own.asWorker.query<Row>(statement);
    },
  };
  const middle = [...providerIds].sort()[65] ?? '';
  await feedAll({ ...conveyor.deps, db: worker }, { ...always, startAt: middle });
  const [fed] = await own.query<{ providers: number }>(sql('test.fed')`
    select count(distinct provider_id) as providers from research_jobs where fed_until is not null`);
  expect(fed?.providers).toBe(130);
  for (const { buffers, nodes } of plans) {
    expect(nodes).not.toContain('Seq Scan');
    expect(buffers).toBeLessThan(130 * 8);
  }
  await conveyor.close();
  await own.close();
});

/** A tenant whose companies are all to be researched, and none is fed. */
async function backlog(own: TestDatabase, companies: number): Promise<string> {
  const { tenantId, campaignId, provider } = await aWorld(own, { companies });
  await own.query(sql('test.backlog')`
    with batch as (
      insert into research_batches (user_id, campaign_id, provider_id, kind)
      values (${tenantId}, ${campaignId}, ${provider.id}, 'company') returning id
    )
    insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind)
    select ${tenantId}, batch.id, c.id, ${campaignId}, ${provider.id}, 'company'
    from batch, companies c where c.campaign_id = ${campaignId}`);
  return provider.id;
}

test('no round feeds more than a window, everybody has a share first, and in the end as much as may be', async () => {
  const own = await testDatabase();
  const heavy = [await backlog(own, 8_000), await backlog(own, 8_000), await backlog(own, 8_000)];
  const light = await backlog(own, 5);
  const conveyor = aConveyor(own);
  const providerOf = new Map(
    (
      await own.query<{ id: string; provider_id: string }>(
        sql('test.jobs')`select id, provider_id from research_jobs`,
      )
    ).map((job) => [job.id, job.provider_id]),
  );
  const rounds: Record<string, number>[] = [];
  const queue = {
    async send(messages: OutgoingMessage[]) {
      const round: Record<string, number> = {};
      for (const id of messages.flatMap((message) => message.body.jobIds)) {
        const provider = providerOf.get(id) ?? '';
        round[provider] = (round[provider] ?? 0) + 1;
      }
      rounds.push(round);
      return [];
    },
  };
  const deps = { ...conveyor.deps, queue };
  let looks = 0;
  // Time for the first round, and for one of those that have more to do.
  await feedAll(deps, { hasTime: () => ++looks <= 4, startAt: '00000000-0000-0000-0000-000000000000' });
  const [a, b, c] = [...heavy].sort();
  expect(rounds).toEqual([
    { [a ?? '']: 2_500, [b ?? '']: 2_500, [c ?? '']: 2_500, [light]: 5 },
    { [a ?? '']: 5_500 },
  ]);
  await feed(deps, { providerIds: heavy });
  const sums = Map.groupBy(rounds.flatMap(Object.entries), ([id]) => id);
  for (const id of heavy)
    expect((sums.get(id) ?? []).reduce((sum, [, jobs]) => sum + Number(jobs), 0)).toBe(8_000);
  expect(
    Math.max(...rounds.map((round) => Object.values(round).reduce((sum, n) => sum + n, 0))),
  ).toBeLessThanOrEqual(10_000);
  await conveyor.close();
  await own.close();
});

test('a round without time feeds nobody, and the next one does', async () => {
  const { tenantId, campaignId, provider } = await aWorld(db, { companies: 3 });
  const conveyor = aConveyor(db);
  await conveyor.start(tenantId, campaignId);
  await db.query(
    sql('test.unfed')`update research_jobs set fed_until = null where provider_id = ${provider.id}`,
  );
  await feedAll(conveyor.deps, { hasTime: () => false });
  expect(await fedOf(provider.id)).toBe(0);
  await feedAll(conveyor.deps, { ...always, startAt: randomUUID() });
  expect(await fedOf(provider.id)).toBe(3);
  await conveyor.close();
});

test('when the queue fails, its jobs are off the conveyor again at once', async () => {
  const { tenantId, campaignId, provider } = await aWorld(db, { companies: 3 });
  const conveyor = aConveyor(db);
  await conveyor.start(tenantId, campaignId);
  await db.query(
    sql('test.unfed')`update research_jobs set fed_until = null where provider_id = ${provider.id}`,
  );
  const queue = { send: () => Promise.reject(new Error('no queue')) };
  await expect(feed({ ...conveyor.deps, queue }, { providerIds: [provider.id] })).rejects.toThrow('no queue');
  expect(await fedOf(provider.id)).toBe(0);
  await conveyor.close();
});

test('a thousand jobs at a provider that answers at once take at most ten statements, whatever its batch size', async () => {
  const http = new MockAgent();
  http
    .get('https://instant.example')
    .intercept({ path: '/', method: 'POST' })
    .reply(200, ({ body }) => completeAll(JSON.parse(String(body)) as AskBody).body as object)
    .persist();
  for (const batchSize of [1, 10, 100]) {
    const { tenantId, campaignId } = await aWorld(db, {
      companies: 1_000,
      batchSize,
      url: 'https://instant.example/',
    });
    const conveyor = aConveyor(db);
    await conveyor.start(tenantId, campaignId);
    const ids = conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
    const statements: string[] = [];
    const counted = (inner: Db): Db => ({
      query: (statement) => {
        statements.push(statement.statement);
        return inner.query(statement);
      },
      transaction: (work) => inner.transaction((tx) => work(counted(tx))),
    });
    await dispatch({ ...conveyor.deps, http, concurrency: 1_000, db: counted(db.asWorker) }, ids, plenty);
    expect(ids).toHaveLength(1_000);
    const [row] = await db.query<{ count: number }>(sql('test.done')`
      select count(*) from research_jobs where user_id = ${tenantId} and status = 'completed'`);
    expect(row?.count).toBe(1_000);
    expect(statements.length).toBeLessThanOrEqual(10);
    await conveyor.close();
  }
  await http.close();
});
