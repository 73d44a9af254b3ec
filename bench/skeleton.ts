import { createReadStream } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { upsertCompanies } from '../core/companies/upsert.ts';
import { listContacts } from '../core/contacts/list.ts';
import { sql } from '../core/db/sql.ts';
import { guardedAgent } from '../core/http/guard.ts';
import { readCompanies } from '../core/import/csv.ts';
import { dispatch } from '../core/research/dispatch.ts';
import { enqueue, kickOff } from '../core/research/enqueue.ts';
import type { OutgoingMessage } from '../core/research/queue.ts';
import { root } from '../local/stack/paths.ts';
import { median, peakMemoryMb, type Row } from './row.ts';
import { aWorld, type World } from './world.ts';

const rounds = 3;
const companiesWanted = 10_249;
const contactsWanted = 100_000;
const plain = { versus: null, ratio: null };

/** The first rows: import, dispatch to a provider that answers at once, and a walk over all pages. */
export async function* skeleton(): AsyncGenerator<Row> {
  const world = await aWorld();
  try {
    yield await importing(world);
    yield await dispatching(world);
    yield await walking(world);
  } finally {
    await world.close();
  }
}

/** The example list, again and again under other domains, or a real list given by BENCH_CSV. */
async function* companies(): AsyncGenerator<{
  name: string;
  domain: string | null;
  attributes: Record<string, string>;
}> {
  const given = process.env.BENCH_CSV;
  const file = given
    ? resolve(process.env.INIT_CWD ?? root, given)
    : resolve(root, 'examples', 'companies.csv');
  let made = 0;
  for (let copy = 0; made < companiesWanted; copy++) {
    for await (const line of readCompanies(() => createReadStream(file))) {
      if (line.status !== 'company' || made === companiesWanted) continue;
      made++;
      const { domain } = line;
      const name = line.name ?? domain ?? '';
      const suffix = copy === 0 ? '' : ` ${copy}`;
      yield {
        name: `${name}${suffix}`,
        domain: copy === 0 || domain === null ? domain : `copy-${copy}.${domain.split('/')[0]}`,
        attributes: line.attributes,
      };
    }
    if (given) return;
  }
}

async function importing({ db, meter, tenantId, campaignId }: World): Promise<Row> {
  const before = meter.statements;
  const startedAt = performance.now();
  let rows: unknown[] = [];
  let count = 0;
  let calls = 0;
  const flush = async () => {
    if (rows.length === 0) return;
    const { counts } = await upsertCompanies({ db }, tenantId, { campaignId, rows });
    count += counts.created;
    calls++;
    rows = [];
  };
  for await (const company of companies()) {
    rows.push(company);
    if (rows.length === 1_000) await flush();
  }
  await flush();
  const seconds = (performance.now() - startedAt) / 1000;
  const statements = meter.statements - before;
  return {
    name: 'import of a CSV',
    value: count / seconds,
    unit: 'companies/s',
    ...plain,
    target: '≤ 6 statements a thousand rows',
    holds: statements <= 6 * calls,
    counts: { companies: count, statements, 'bulk calls': calls, 'peak MB': peakMemoryMb() },
  };
}

async function dispatching({ db, meter, tenantId, campaignId }: World): Promise<Row> {
  const provider = await instantProvider();
  await db.query(sql('bench.provider')`
    insert into research_providers (user_id, name, kind, url, secret, batch_size)
    values (${tenantId}, 'instant', 'webhook', ${provider.url}, 'whsec_YmVuY2htYXJrLXNlY3JldC1ieXRlcy0wMTIz', 10)`);
  const waiting: OutgoingMessage[] = [];
  let sendCalls = 0;
  const http = guardedAgent({ allowedNetworks: ['127.0.0.0/8'], connections: 50 });
  const deps = {
    db,
    http,
    queue: {
      async send(messages: OutgoingMessage[]) {
        sendCalls += Math.ceil(messages.length / 10);
        waiting.push(...messages);
        return [];
      },
    },
    deliveries: { send: async () => [] },
    log: { info: () => undefined, warn: () => undefined },
    clock: Date.now,
    publicUrl: 'http://127.0.0.1:1',
    claimLeaseSeconds: 120,
    concurrency: 50,
  };
  const before = meter.statements;
  const startedAt = performance.now();
  const request = {
    provider: 'instant',
    kind: 'company',
    all: true as const,
    final: true,
    priority: 0,
    dryRun: false,
  };
  const { batchId } = await enqueue(db, tenantId, campaignId, request);
  await kickOff(deps, batchId ?? '');
  // As the event source mapping would: ten messages an invocation, four at once.
  const work = async () => {
    for (;;) {
      const messages = waiting.splice(0, 10);
      if (messages.length === 0) return;
      await dispatch(
        deps,
        messages.flatMap((message) => message.body.jobIds),
        { remainingMs: () => 120_000 },
      );
    }
  };
  while (waiting.length > 0) await Promise.all([work(), work(), work(), work()]);
  const seconds = (performance.now() - startedAt) / 1000;
  const [state] = await db.query<{ completed: number; open: number; twice: number }>(sql('bench.state')`
    select count(*) filter (where status = 'completed') as completed, count(*) filter (where finished_at is null) as open,
      (select count(*) from company_research where campaign_id = ${campaignId} and generation > 1) as twice
    from research_jobs where batch_id = ${batchId}`);
  await Promise.all([provider.close(), http.destroy()]);
  const { completed = 0, open = -1, twice = -1 } = state ?? {};
  return {
    name: 'dispatch to a provider that answers at once',
    value: completed / seconds,
    unit: 'companies/s',
    ...plain,
    target: 'none lost, none twice, ≤ 30 send calls',
    holds: open === 0 && twice === 0 && sendCalls <= 30,
    counts: {
      completed,
      lost: open,
      twice,
      statements: meter.statements - before,
      'send calls': sendCalls,
      asks: provider.asks(),
      'peak MB': peakMemoryMb(),
    },
  };
}

async function instantProvider() {
  let asks = 0;
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      asks++;
      const { requests } = JSON.parse(Buffer.concat(parts).toString('utf8')) as {
        requests: { jobId: string; attemptId: string }[];
      };
      const results = requests.map(({ jobId, attemptId }) => ({
        jobId,
        attemptId,
        status: 'completed',
        research: { summary: 'found', findings: { employees: 7 } },
      }));
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ results }));
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    asks: () => asks,
    close: () => new Promise((done) => server.close(done)),
  };
}

async function walking({ db, meter, tenantId, campaignId }: World): Promise<Row> {
  await db.query(sql('bench.contacts')`
    insert into contacts (user_id, campaign_id, full_name, email, created_at)
    select ${tenantId}, ${campaignId}, 'Person ' || n, 'person-' || n || '@bench.example', now() - (n / 500) * interval '1 s'
    from generate_series(1, ${contactsWanted}::int) n`);
  await db.query(sql('bench.analyze')`analyze contacts`);
  const limit = 1_000;
  const rates: number[] = [];
  const lastAgainstFirst: number[] = [];
  let pages = 0;
  let distinct = 0;
  const before = meter.statements;
  for (let round = 0; round < rounds; round++) {
    const seen = new Set<string>();
    const times: number[] = [];
    let cursor: string | null = null;
    const startedAt = performance.now();
    do {
      const pageAt = performance.now();
      const page: { data: { id: string }[]; next: string | null } = await listContacts({ db }, tenantId, {
        campaignId,
        limit,
        order: 'desc',
        sort: 'created',
        ...(cursor === null ? {} : { cursor }),
      });
      times.push(performance.now() - pageAt);
      for (const { id } of page.data) seen.add(id);
      cursor = page.next;
      pages++;
    } while (cursor !== null);
    rates.push(seen.size / ((performance.now() - startedAt) / 1000));
    lastAgainstFirst.push(median(times.slice(-10)) / median(times.slice(0, 10)));
    distinct = seen.size;
  }
  return {
    name: 'page walk over 100,000 contacts',
    value: median(rates),
    unit: 'rows/s',
    versus: 'the first ten pages, time of the last ten',
    ratio: median(lastAgainstFirst),
    target: 'every row once, one statement a page',
    holds: distinct === contactsWanted && meter.statements - before === pages,
    counts: {
      rows: distinct,
      pages: pages / rounds,
      statements: (meter.statements - before) / rounds,
      'peak MB': peakMemoryMb(),
    },
  };
}
