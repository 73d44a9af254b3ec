import { runErasure, startErasure } from '../../core/archive/forget/erase.ts';
import { sql } from '../../core/db/sql.ts';
import { archiver } from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';
import { anArchive } from './archived.ts';
import { tracesOf } from './traces.ts';

// More of each than one step looks at: the person stands in the last of them.
const t = sql('t');
const email = 'ann@known.example';
let db: TestDatabase;
beforeEach(async () => {
  db = await testDatabase();
});
afterEach(() => db.close());

async function forget(tenantId: string) {
  const { id } = await startErasure({ db: db.asApi.forTenant(tenantId) }, tenantId, email);
  const deps = { ...archiver(db.asWorker), log: { info: () => undefined, warn: () => undefined } };
  return runErasure(deps, { erasureId: id, tenantId, email }, { remainingMs: () => 60_000 });
}

/** 2,100 jobs of one batch that failed, each with an attempt. */
async function manyJobs() {
  const world = await aWorld(db, { companies: 2_100 });
  await db.query(t`
    with batch as (
      insert into research_batches (user_id, campaign_id, provider_id, kind, status, sealed_at, expanded_at, finished_at)
      values (${world.tenantId}, ${world.campaignId}, ${world.provider.id}, 'company', 'completed', now(), now(), now()) returning id
    )
    insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind, status, finished_at, error_code, error_message)
    select ${world.tenantId}, batch.id, c.id, ${world.campaignId}, ${world.provider.id}, 'company', 'failed', now(), 'x', 'none'
    from batch, companies c where c.campaign_id = ${world.campaignId}`);
  await db.query(t`
    insert into research_attempts (id, user_id, job_id, provider_id, ask_id, outcome)
    select uuidv7(), user_id, id, provider_id, uuidv7(), 'retried' from research_jobs`);
  return world;
}

test('in the last of two thousand jobs of a batch, and of as many late results', async () => {
  const { tenantId } = await manyJobs();
  await db.query(t`
    insert into late_results (attempt_id, user_id, job_id) select id, user_id, job_id from research_attempts`);
  await db.query(t`
    update research_jobs set error_message = ${`no reply from ${email}`}
    where id = (select id from research_jobs order by company_id desc limit 1)`);
  await db.query(t`
    update late_results set summary = ${`ask ${email}`}
    where attempt_id = (select attempt_id from late_results order by attempt_id desc limit 1)`);
  expect(await tracesOf(db, email)).toEqual(['late_results', 'research_jobs']);
  expect(await forget(tenantId)).toMatchObject({ done: true });
  expect(await tracesOf(db, email)).toEqual([]);
});

test('in the last of two hundred dead letters, and of two thousand answers', async () => {
  const { tenantId } = await aWorld(db, { companies: 0 });
  await db.query(t`
    insert into dead_letters (user_id, queue, message_id, body, fingerprint, error_code, reason, created_at)
    select ${tenantId}, 'research', n::text, case when n = 250 then convert_to(${email}, 'UTF8') else 'none' end, 'x', 'x', 'x',
      now() + n * interval '1 s'
    from generate_series(1, 250) n`);
  await db.query(t`
    insert into idempotency_keys (user_id, key, request_hash, status, answer)
    select ${tenantId}, lpad(n::text, 6, '0'), sha256('x'), 200, case when n = 2100 then jsonb_build_object('to', ${email}::text) else '{}' end
    from generate_series(1, 2100) n`);
  expect(await tracesOf(db, email)).toEqual(['dead_letters', 'idempotency_keys']);
  expect(await forget(tenantId)).toMatchObject({ done: true });
  expect(await tracesOf(db, email)).toEqual([]);
});

test('in the last of the chunks of all archives', async () => {
  const { tenantId } = await aWorld(db, { companies: 0 });
  for (let n = 0; n < 6; n++) await anArchive(db, tenantId, { companies: 1 });
  const last = await anArchive(db, tenantId, { companies: 1, mark: 'known' });
  const person = 'person-1@known.example';
  expect(await tracesOf(db, person)).toEqual(['archive_chunks']);
  const [order] = await db.query<{ place: number }>(t`
    select place from (
      select archive_id, table_name, row_number() over (order by archive_id, table_name, number) as place from archive_chunks
    ) chunk where archive_id = ${last.campaignId} and table_name = 'contacts'`);
  expect(order?.place).toBeGreaterThan(20);
  const { id } = await startErasure({ db: db.asApi.forTenant(tenantId) }, tenantId, person);
  const deps = { ...archiver(db.asWorker), log: { info: () => undefined, warn: () => undefined } };
  const ran = runErasure(deps, { erasureId: id, tenantId, email: person }, { remainingMs: () => 60_000 });
  expect(await ran).toMatchObject({ done: true });
  expect(await tracesOf(db, person)).toEqual([]);
});
