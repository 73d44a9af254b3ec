import { connect } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import type { Row } from '../row.ts';
import { run } from '../schema/million.ts';
import { serverPeakMb } from './memory.ts';
import type { Stage } from './stage.ts';

/** It is cancelled there; the machine is others' too. */
const limitMb = 8_000;

/**
 * The original plan's way: everything of a campaign in one JSONB value, then all of it deleted, in one transaction that
 * holds the campaign from its begin to its end.
 */
export async function plan(stage: Stage, campaignId: string): Promise<Row> {
  await run(
    stage.db,
    'create table if not exists bare.plan (id uuid primary key, everything jsonb not null)',
  );
  await run(stage.db, 'grant insert, select on bare.plan to aim_worker');
  const of = sql.fragment`t.campaign_id = ${campaignId}`;
  const jobs = sql.fragment`select id from research_jobs t where ${of}`;
  // A connection of its own: what the server's process took stays with it.
  const worker = connect(stage.urls.worker, { max: 1, statementTimeoutMs: 3_600_000 });
  const startedAt = performance.now();
  let failed = '';
  let rows = 0;
  const { peakMb } = await serverPeakMb({ connection: worker, other: stage.db, limitMb }, () =>
    worker
      .transaction(async (tx) => {
        await tx.query(sql('plan.hold')`
          select set_config('aim.archiver', ${campaignId}, true), id from campaigns where id = ${campaignId} for update`);
        const [written] = await tx.query<{ rows: number }>(sql('plan.write')`
          with all_rows as (
            select 'contacts' as name, to_jsonb(t) as value from contacts t where ${of}
            union all select 'companies', to_jsonb(t) from companies t where ${of}
            union all select 'research', to_jsonb(t) from company_research t where ${of}
            union all select 'prospects', to_jsonb(t) from prospect_research t where ${of}
            union all select 'batches', to_jsonb(t) from research_batches t where ${of}
            union all select 'jobs', to_jsonb(t) from research_jobs t where ${of}
            union all select 'attempts', to_jsonb(t) from research_attempts t where t.job_id in (${jobs})
          ), tables as (
            select name, count(*) as rows, jsonb_agg(value) as all_of_it from all_rows group by name
          ), kept as (
            insert into bare.plan select ${campaignId}, jsonb_object_agg(name, all_of_it) from tables returning 1
          )
          select sum(rows)::bigint as rows from tables, kept`);
        await tx.query(sql('plan.attempts')`delete from research_attempts where job_id in (${jobs})`);
        for (const table of [
          'research_jobs',
          'research_batches',
          'prospect_research',
          'company_research',
          'contacts',
          'companies',
        ])
          await tx.query(sql(`plan.${table}`)`delete from ${sql.identifier(table)} t where ${of}`);
        rows = written?.rows ?? 0;
      })
      .catch((error: unknown) => {
        failed = `${(error as { code?: string }).code}: ${(error as Error).message}`;
      }),
  );
  const ms = performance.now() - startedAt;
  await worker.close();
  const [count] = await stage.db.query<{ contacts: number }>(sql('plan.count')`
    select count(*) as contacts from contacts t where ${of}`);
  const what = failed === '' ? `archived ${rows.toLocaleString('en')} rows` : `failed with ${failed}`;
  return {
    ...{ name: `the original plan, one JSONB of everything, ${what}`, value: ms / 1000, unit: 's' },
    ...{ versus: null, ratio: null, target: null, holds: null },
    counts: {
      'contacts left': count?.contacts ?? 0,
      'longest transaction ms': Math.round(ms),
      'server peak MB': peakMb,
      ...(rows > 0 ? { 'rows/s': Math.round((rows / ms) * 1000) } : {}),
    },
  };
}
