import { runRestore, startRestore } from '../../core/archive/restore.ts';
import { runArchive } from '../../core/archive/run.ts';
import { startArchive } from '../../core/archive/start.ts';
import type { Deps, RunOptions } from '../../core/archive/step.ts';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import type { TestDatabase } from './database.ts';
import { aCampaign, someCompanies } from './factories.ts';

/** What a worker runs with; waits between transactions take no time here. */
export const archiver = (db: Db): Deps => ({
  db,
  log: { info: () => undefined },
  clock: Date.now,
  sleep: async () => undefined,
});

/** So many chunks a transaction, always. */
export const evenly = (chunks = 1, rowsPerChunk = 1_000): RunOptions => ({
  rowsPerChunk,
  remainingMs: () => 60_000,
  pace: { chunks, after: () => 0 },
});

export async function archived(
  db: TestDatabase,
  tenantId: string,
  campaignId: string,
  cancelOpenJobs = false,
) {
  const started = await startArchive(db.asApi.forTenant(tenantId), tenantId, campaignId, { cancelOpenJobs });
  await runArchive(archiver(db.asWorker), started.archiveId, evenly());
  return started.archiveId;
}

export async function restored(db: TestDatabase, tenantId: string, archiveId: string) {
  await startRestore(db.asApi.forTenant(tenantId), tenantId, archiveId);
  return runRestore(archiver(db.asWorker), archiveId, evenly());
}

/**
 * A campaign with everything that is hard to keep: times to the µs and at the ends, numbers that no double holds, JSON
 * nulls, text in many scripts, people found by research, jobs that ended in each way, attempts.
 */
export async function aVariedCampaign(db: Db, tenantId: string, providerId: string, companies = 4) {
  const campaignId = await aCampaign(db, tenantId, { name: 'Varied “campaign” 🜁' });
  await someCompanies(db, tenantId, campaignId, companies);
  const owner = sql.fragment`${tenantId}, ${campaignId}`;
  const each = sql.fragment`from companies c where c.campaign_id = ${campaignId}`;
  await db.query(sql('t')`
    update companies set version = 7, created_at = '2025-02-03 04:05:06.000007+02'::timestamptz + version * interval '1 us',
      attributes = '{"n": 12345678901234567890.1234567890, "e": 1.50, "z": null, "deep": [null, {"a": [1.0, "x"]}]}'
    where campaign_id = ${campaignId}`);
  await db.query(sql('t')`
    insert into contacts (user_id, campaign_id, company_id, full_name, email, title, attributes, created_at, updated_at)
    select ${owner}, case n % 3 when 0 then null else c.id end, U&'Ωmega \\+01F600 "q" \\\\ ' || n || E'\n\t',
      case n % 2 when 0 then null else n || '@' || c.domain end, nullif(n % 4, 0)::text,
      jsonb_build_object('n', n / 3.0, 'null', null), '2026-01-01T00:00:00.123456Z'::timestamptz + n * interval '1 us',
      case n when 1 then 'infinity' when 2 then '0044-03-15 00:00:00 BC' else now() end::timestamptz
    from companies c, generate_series(1, 3) n where c.campaign_id = ${campaignId}`);
  await db.query(sql('t')`
    insert into company_research (user_id, campaign_id, company_id, kind, summary, findings, sources, generation)
    select ${owner}, c.id, kind, nullif(kind, 'second'), 'null', '[null, 1e-30, 100.00]', 3 ${sql.fragment`
      from companies c, unnest(array['first', 'second']) kind where c.campaign_id = ${campaignId}`}`);
  await db.query(sql('t')`
    insert into prospect_research (user_id, campaign_id, company_id, company_research_id, natural_key, full_name, email)
    select user_id, campaign_id, company_id, id, 'ada@x.example', 'Ada', 'ada@x.example'
    from company_research where campaign_id = ${campaignId}`);
  await db.query(sql('t')`
    insert into research_batches (user_id, campaign_id, provider_id, kind, total, status, finished_at, sealed_at,
      expanded_at, expanded_to_created_at, expanded_to_id, resume_url, resume_state)
    select ${owner}, ${providerId}, 'company', ${companies}, 'completed', now(), now(), now(), now(), ${campaignId},
      case n when 1 then 'https://n8n.example/' end, case n when 1 then 'done' else 'none' end
    from generate_series(1, 3) n`);
  await db.query(sql('t')`
    insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind, status, retry_count,
      error_code, error_message, attempt_id, finished_at)
    select ${tenantId}, b.id, c.id, ${campaignId}, ${providerId}, 'company', s.status, 2,
      case s.status when 'failed' then 'gone' end, case s.status when 'failed' then 'it said “no”' end,
      case s.status when 'cancelled' then null else gen_random_uuid() end, now()
    from research_batches b
    cross join lateral (select id, row_number() over (order by id) as n ${each}) c
    join (values (0, 'completed'), (1, 'failed'), (2, 'cancelled')) s (n, status) on s.n = c.n % 3
    where b.campaign_id = ${campaignId}`);
  await db.query(sql('t')`
    insert into research_attempts (id, user_id, job_id, provider_id, ask_id, outcome, http_status, latency_ms, finished_at)
    select gen_random_uuid(), j.user_id, j.id, j.provider_id, gen_random_uuid(),
      case n when 1 then 'throttled' else 'completed' end, 200 + n, n * 10, case n when 1 then null else now() end
    from research_jobs j, generate_series(1, 2) n where j.campaign_id = ${campaignId} and j.status <> 'cancelled'`);
  await db.query(sql('t')`
    insert into late_results (attempt_id, user_id, job_id, summary, findings, sources, prospects, received_at)
    select a.id, a.user_id, a.job_id, case when a.http_status = 201 then 'late “result”' end, '{"n": 1.50, "z": null}', '[]',
      '[{"email": "bob@x.example", "name": "Bob"}]', '2026-01-01T00:00:00.654321Z'
    from research_attempts a join research_jobs j on j.id = a.job_id
    where j.campaign_id = ${campaignId} and j.status = 'failed'`);
  return campaignId;
}

const ofJobs =
  'job_id in (select j.id from research_jobs j join research_batches b on b.id = j.batch_id where b.campaign_id = $1)';
const scopes: Record<string, string> = {
  research_attempts: ofJobs,
  late_results: ofJobs,
};
const tables = [
  'companies',
  'contacts',
  'company_research',
  'prospect_research',
  'research_batches',
  'research_jobs',
  'research_attempts',
  'late_results',
];

/** Of each table the number of rows and, of every column, a digest of all values in the order of the ids. */
export async function digestOf(db: Db, campaignId: string): Promise<Record<string, Record<string, unknown>>> {
  const digests: Record<string, Record<string, unknown>> = {};
  for (const table of tables) {
    const columns = await db.query<{ name: string }>(sql('t')`
      select attname as name from pg_attribute
      where attrelid = ${table}::regclass and attnum > 0 and not attisdropped order by attname`);
    const each = columns.map(
      ({ name }) =>
        `md5(string_agg(coalesce(length("${name}"::text) || ':' || "${name}"::text, '-'), ' ' order by ${table === 'late_results' ? 'attempt_id' : 'id'})) as "${name}"`,
    );
    const [row] = await db.query<Record<string, unknown>>({
      statement: 't',
      text: `select count(*), ${each.join(', ')} from ${table} where ${scopes[table] ?? 'campaign_id = $1'}`,
      values: [campaignId],
    });
    digests[table] = row ?? {};
  }
  return digests;
}

/** Rows of the campaign that are active, and those that are in chunks, by table. */
export async function whereabouts(db: Db, campaignId: string) {
  const digests = await digestOf(db, campaignId);
  const kept = await db.query<{ table: string; rows: number }>(sql('t')`
    select table_name as table, sum(aim.chunk_size(rows))::bigint as rows from archive_chunks
    where archive_id = ${campaignId} group by 1`);
  const archived = new Map(kept.map(({ table, rows }) => [table, rows]));
  return tables.map((table) => ({
    table,
    active: Number(digests[table]?.count),
    archived: archived.get(table) ?? 0,
  }));
}
