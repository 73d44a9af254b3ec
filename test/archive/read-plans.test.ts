import { archiveWalks } from '../../core/archive/forget/archives.ts';
import { liveWalks, type Walk } from '../../core/archive/forget/live.ts';
import { personOf } from '../../core/archive/forget/person.ts';
import { unfinished } from '../../core/archive/nightly/due.ts';
import { doomed } from '../../core/archive/nightly/purge.ts';
import { listEvents } from '../../core/archive/read/events.ts';
import { listArchives } from '../../core/archive/read/list.ts';
import { archivedTables, readArchivedRows } from '../../core/archive/read/rows.ts';
import type { Db } from '../../core/db/connect.ts';
import { type Statement, sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aTenant } from '../support/factories.ts';

const t = sql('t');
let db: TestDatabase;
let tenantId: string;
let archiveId: string;
const runId = '0198f0c2-6a44-7c11-9d1f-3f1b7a5e2c10';

/** Two tenants with 4,000 archives each, of which ten have 500 chunks: one is a small part, or the planner reads all. */
beforeAll(async () => {
  db = await testDatabase();
  for (let n = 0; n < 2; n++) {
    tenantId = await aTenant(db);
    await db.query(t`insert into archive_policies (user_id, retention_days) values (${tenantId}, 3000)`);
    const rows = await db.query<{ id: string }>(t`
      insert into archived_campaigns (id, user_id, name, campaign, state, schema_version, archived_at, checksum, created_at, purging_at)
      select gen_random_uuid(), ${tenantId}, 'x', '{}', case when n % 1000 = 0 then 'archiving' else 'archived' end, '1',
        case when n % 1000 > 0 then now() - n * interval '1 day' end, case when n % 1000 > 0 then sha256('x') end,
        now() - n * interval '1 day', case when n % 500 = 1 then now() end
      from generate_series(1, 4000) n returning id`);
    archiveId = rows[1]?.id ?? '';
    await db.query(t`insert into archive_events (user_id, run_id, campaign_id, action, outcome, reason)
      select ${tenantId}, gen_random_uuid(), gen_random_uuid(), 'archive', 'done', 'idle' from generate_series(1, 5000)`);
    await db.query(t`insert into dead_letters (user_id, queue, message_id, body, fingerprint, error_code, reason)
      select ${tenantId}, 'q', ${tenantId} || n, 'x', 'x', 'x', 'x' from generate_series(1, 5000) n`);
    await db.query(t`insert into idempotency_keys (user_id, key, request_hash)
      select ${tenantId}, n::text, 'x' from generate_series(1, 5000) n`);
    await db.query(t`insert into archive_chunks (archive_id, table_name, number, user_id, row_count, sha256, rows)
      select id, 'research_jobs', n, ${tenantId}, 1, sha256('x'), '[{}]'
      from unnest(${rows.slice(1, 11).map(({ id }) => id)}::uuid[]) id, generate_series(1, 500) n`);
  }
  await db.query({ statement: 'analyze', text: 'analyze', values: [] });
});
afterAll(() => db.close());

/** The plans of what `work` asks, as the role that asks it. */
async function plansOf(at: Db, work: (spied: Db) => Promise<unknown>): Promise<string> {
  const statements: Statement[] = [];
  const spied: Db = {
    query: (statement) => {
      statements.push(statement);
      return at.query(statement);
    },
    transaction: (inner) => at.transaction(() => inner(spied)),
  };
  await work(spied);
  expect(statements.length).toBeGreaterThan(0);
  const plans = await Promise.all(
    statements.map((given) =>
      at.query<{ 'QUERY PLAN': string }>({ ...given, text: `explain ${given.text}` }),
    ),
  );
  return plans
    .flat()
    .map((row) => row['QUERY PLAN'])
    .join('\n');
}
const big = /Seq Scan on (archived_campaigns|archive_chunks|archive_events|dead_letters|idempotency_keys)/;

test('the nightly run finds what was begun, and what has to go, by indexes', async () => {
  const begun = await plansOf(db.asWorker, (at) => unfinished(at, { id: runId } as never));
  expect(begun).toMatch(/archived_campaigns_(begun|unfinished)/);
  expect(begun).not.toMatch(big);
  const gone = await plansOf(db.asWorker, (at) => doomed(at, { id: runId }));
  expect(gone).toContain('archived_campaigns_purging');
  expect(gone).toContain('archived_campaigns_kept');
  expect(gone).not.toMatch(big);
});

test('lists and pages of archives are ranges of an index', async () => {
  const bound = db.asApi.forTenant(tenantId);
  const position = { limit: 10, cursor: undefined } as const;
  const list = await plansOf(bound, (at) =>
    listArchives({ db: at }, tenantId, { ...position, state: undefined }),
  );
  expect(list).toContain('archived_campaigns_page');
  expect(list).not.toMatch(big);
  expect(list).not.toMatch(/Sort Key/);
  const events = await plansOf(bound, (at) => listEvents({ db: at }, tenantId, position));
  expect(events).toContain('archive_events_page');
  expect(events).not.toMatch(/Sort Key/);
  const rows = await plansOf(bound, (at) =>
    readArchivedRows(at, archiveId, archivedTables.contacts, position),
  );
  expect(rows).toContain('archive_chunks_pkey');
});

test.each(['dead_letters', 'idempotency_keys', 'archived_campaigns', 'archive_chunks'])(
  'an erasure walks %s by an index',
  async (name) => {
    const walk = { ...liveWalks, ...archiveWalks }[name] as Walk;
    const plan = await plansOf(db.asWorker, (at) => walk(at, personOf(tenantId, 'a@b.example'), undefined));
    expect(plan).not.toMatch(big);
  },
);
