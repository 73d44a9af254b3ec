import { randomBytes, randomUUID } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { sql } from '../../core/db/sql.ts';
import { claim } from '../../core/research/claim.ts';
import { enqueue } from '../../core/research/enqueue.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aProvider, aWorld } from '../support/factories.ts';
import { type Api, anApi } from './client.ts';

const callbacks = 10_000;
const connections = 16;

let db: TestDatabase;
let api: Api;
let world: Awaited<ReturnType<typeof aWorld>>;
let batchId: string;
let sent: { askId: string; jobId: string; attemptId: string }[];

beforeAll(async () => {
  db = await testDatabase({ max: connections });
  api = anApi(db);
  world = await aWorld(db, { companies: callbacks, leaseSeconds: 86_400 });
  const { tenantId, campaignId } = world;
  const batch = await enqueue(db.asApi.forTenant(tenantId), tenantId, campaignId, {
    provider: 'a-provider',
    kind: 'company',
    all: true,
    final: true,
    priority: 0,
    dryRun: false,
  });
  batchId = batch.batchId ?? '';
  const { expand } = await import('../../core/research/batches.ts');
  await expand(db.asWorker, batchId, { budgetMs: 60_000 });
  const jobs = await db.query<{ id: string }>(
    sql('storm.jobs')`select id from research_jobs where batch_id = ${batchId}`,
  );
  sent = [];
  for (let from = 0; from < jobs.length; from += 1_000) {
    const ids = jobs.slice(from, from + 1_000).map((job) => job.id);
    for (const ask of await claim(db.asWorker, ids, { leaseSeconds: 86_400 })) {
      sent.push(...ask.jobs.map((job) => ({ askId: ask.id, jobId: job.id, attemptId: job.attempt_id })));
    }
  }
  expect(sent).toHaveLength(callbacks);
}, 120_000);
afterAll(() => db.close());

const bodyOf = ({ jobId, attemptId }: (typeof sent)[number], summary = 'They make anvils.') =>
  JSON.stringify({
    results: [
      {
        jobId,
        attemptId,
        status: 'completed',
        research: { summary },
        prospects: [{ fullName: 'Ada', email: 'ada@acme.example' }],
      },
    ],
  });

function sign(body: string, { key = world.provider.secret, at = new Date() } = {}): Record<string, string> {
  const id = `msg_${randomUUID()}`;
  return {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(key).sign(id, at, body),
  };
}

const post = async (askId: string, body: string, headers: Record<string, string>) =>
  (await api.app.request(`/v1/callbacks/${askId}`, { method: 'POST', body, headers })).status;

/** Sixteen at a time, until all are done. */
async function storm<Item>(items: Item[], each: (item: Item, index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const one = async () => {
    for (let index = next++; index < items.length; index = next++) await each(items[index] as Item, index);
  };
  await Promise.all(Array.from({ length: connections }, one));
}

function shuffle<Item>(items: Item[]): Item[] {
  for (let n = items.length - 1; n > 0; n--) {
    const other = Math.floor(Math.random() * (n + 1));
    [items[n], items[other]] = [items[other] as Item, items[n] as Item];
  }
  return items;
}

/** Everything a callback could change, in one value. */
async function digest(): Promise<unknown> {
  const tables = [
    'research_jobs',
    'research_attempts',
    'research_batches',
    'company_research',
    'prospect_research',
    'late_results',
    'research_providers',
    'idempotency_keys',
    'changes',
    'dead_letters',
  ];
  const parts = await Promise.all(
    tables.map((table) =>
      db.query({
        statement: 'storm.digest',
        text: `select count(*), sum(hashtextextended(t::text, 0)) from ${table} t`,
        values: [],
      }),
    ),
  );
  return parts;
}

/** Each way to be somebody else, or to have had a hand in it. */
const forgeries: ((
  item: (typeof sent)[number],
  other: (typeof sent)[number],
) => [string, string, Record<string, string>])[] = [
  (item) => [
    item.askId,
    bodyOf(item),
    sign(bodyOf(item), { key: `whsec_${randomBytes(24).toString('base64')}` }),
  ],
  (item) => [item.askId, bodyOf(item, 'They sell them.'), sign(bodyOf(item))],
  (item) => [item.askId, bodyOf(item), sign(bodyOf(item), { at: new Date(Date.now() - 10 * 60_000) })],
  (item) => [item.askId, bodyOf(item), sign(bodyOf(item), { at: new Date(Date.now() + 10 * 60_000) })],
  (item) => [randomUUID(), bodyOf(item), sign(bodyOf(item))],
  (item) => [`${item.askId.slice(0, 8)}%27--`, bodyOf(item), sign(bodyOf(item))],
  (item) => {
    const { 'webhook-signature': _, ...rest } = sign(bodyOf(item));
    return [item.askId, bodyOf(item), rest];
  },
  (item) => [item.askId, bodyOf(item), { ...sign(bodyOf(item)), 'webhook-id': 'another' }],
  (item) => [item.askId, bodyOf(item), { ...sign(bodyOf(item)), 'webhook-signature': 'v1,AAAA v2,BBBB' }],
  (item) => [item.askId, `${bodyOf(item)} `, sign(bodyOf(item))],
];

test('ten thousand forged or mutated callbacks run no statement beyond finding their key, and change nothing', async () => {
  const before = await digest();
  api.statements.length = 0;
  const statuses = new Map<number, number>();
  await storm(sent, async (item, index) => {
    const forge = forgeries[index % forgeries.length] as (typeof forgeries)[number];
    const status = await post(...forge(item, sent[(index + 1) % sent.length] as (typeof sent)[number]));
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  });
  expect([...statuses]).toEqual([[401, callbacks]]);
  expect([...new Set(api.statements)]).toEqual(['callback.find']);
  expect(api.statements.length).toBeLessThanOrEqual(callbacks);
  expect(await digest()).toEqual(before);
}, 120_000);

test("another provider's good signature is no good here", async () => {
  const other = await aProvider(db, world.tenantId, { name: 'other' });
  const before = await digest();
  const [item] = sent;
  if (!item) throw new Error('nothing was sent');
  expect(await post(item.askId, bodyOf(item), sign(bodyOf(item), { key: other.secret }))).toBe(401);
  expect(await digest()).toEqual(before);
});

test('ten thousand callbacks, each delivered one to five times, in any order: one result each', async () => {
  const deliveries = shuffle(
    sent.flatMap((item) => Array.from({ length: 1 + Math.floor(Math.random() * 5) }, () => item)),
  );
  const statuses = new Map<number, number>();
  await storm(deliveries, async (item) => {
    const body = bodyOf(item);
    const status = await post(item.askId, body, sign(body));
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  });
  expect([...statuses]).toEqual([[200, deliveries.length]]);
  const [result] = await db.query(sql('storm.results')`
    select (select count(*) from company_research where campaign_id = ${world.campaignId}) as research,
      (select max(generation) from company_research where campaign_id = ${world.campaignId}) as generation,
      (select count(*) from prospect_research where campaign_id = ${world.campaignId}) as prospects,
      (select count(*) from research_jobs where batch_id = ${batchId} and status = 'completed') as completed,
      (select count(*) from late_results where user_id = ${world.tenantId}) as late,
      (select status from research_batches where id = ${batchId}) as batch,
      (select coalesce(sum(cardinality(ids)), 0)::int from changes where user_id = ${world.tenantId}
        and entity = 'job' and op = 'completed') as told`);
  const all = { research: callbacks, prospects: callbacks, completed: callbacks, told: callbacks };
  expect(result).toEqual({ ...all, generation: 1, late: 0, batch: 'completed' });
}, 300_000);
