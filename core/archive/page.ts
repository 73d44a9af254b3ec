import { type Fragment, sql } from '../db/sql.ts';
import { type ArchivedTable, keyOf, ofJobs } from './chunk.ts';
import { type Column, isJson, list, valuesOf } from './columns.ts';

/** Where a walk stands: in the order of a page index or, for jobs and what hangs on them, at a company of a batch. */
export interface Position {
  createdAt: string;
  id: string;
  companyId: string | null;
}

const firstId = '00000000-0000-0000-0000-000000000000';

/** As they are stored, that is compressed: research may be a megabyte a row, and all of a page is in memory at once. */
const maxPageBytes = 16_000_000;

/**
 * The next rows of a campaign as `page (n, job, value)`, n from 1 in their order; `reached (n, created_at, id,
 * company_id)`, the position after each of them (for what hangs on jobs its n counts jobs, which is `page.job`); and
 * `scanned`, which has fewer rows than the limit, and no more than were taken, when nothing is left behind them.
 */
export function nextRows(
  { table, columns }: { table: ArchivedTable; columns: Column[] },
  campaignId: string,
  after: Position | null,
  limit: number,
): Fragment {
  const values = valuesOf(columns);
  if (table === 'research_jobs') {
    return sql.fragment`
      page as materialized (
        select row_number() over (order by t.batch_at, t.batch_id, t.company_id) as n, 0 as job, ${values} as value,
          t.batch_at as created_at, t.batch_id as id, t.company_id
        from (${jobs(campaignId, after, limit)}) t
      ), reached as (select n, created_at, id, company_id from page), scanned as (select n from page)`;
  }
  if (ofJobs(table)) {
    const since = sql.identifier(table === 'late_results' ? 'received_at' : 'started_at');
    const key = sql.identifier(keyOf(table));
    return sql.fragment`
      reached as materialized (
        select row_number() over (order by t.batch_at, t.batch_id, t.company_id) as n, t.batch_at as created_at,
          t.batch_id as id, t.company_id, t.id as job_id
        from (${jobs(campaignId, after, limit)}) t
      ), page as materialized (
        select row_number() over (order by reached.n, t.${since}, t.${key}) as n, reached.n as job, ${values} as value
        from reached join ${sql.identifier(table)} t on t.job_id = reached.job_id
        order by reached.n, t.${since}, t.${key} limit ${limit}
      ), scanned as (select n from reached)`;
  }
  const sizes = columns
    .filter(isJson)
    .map(({ name }) => sql.fragment`coalesce(pg_column_size(t.${sql.identifier(name)}), 0)`);
  const bytes = sizes.reduce((all, size) => sql.fragment`${all} + ${size}`, sql.fragment`0`);
  return sql.fragment`
    scanned as materialized (
      select ${list(columns.map(({ name }) => sql.fragment`t.${sql.identifier(name)}`))},
        row_number() over w as row_place, sum(${bytes}) over w - (${bytes}) as bytes_before
      from ${sql.identifier(table)} t
      where t.campaign_id = ${campaignId}
        and (t.created_at, t.id) > (${after?.createdAt ?? '-infinity'}::timestamptz, ${after?.id ?? firstId}::uuid)
      window w as (order by t.created_at, t.id rows unbounded preceding)
      order by t.created_at, t.id limit ${limit}
    ), page as materialized (
      select t.row_place as n, 0 as job, ${values} as value, t.created_at, t.id
      from scanned t where t.bytes_before < ${maxPageBytes}
    ), reached as (select n, created_at, id, null::uuid as company_id from page)`;
}

/** The rest of the batch at hand, then the batches behind it: a walk over all would begin among dead rows. */
function jobs(campaignId: string, after: Position | null, limit: number): Fragment {
  return sql.fragment`
    (
      select b.created_at as batch_at, j.*
      from research_batches b join research_jobs j on j.batch_id = b.id
      where b.id = ${after?.id ?? null}::uuid and j.company_id > ${after?.companyId ?? firstId}::uuid
      order by j.company_id limit ${limit}
    ) union all (
      select b.created_at as batch_at, j.*
      from research_batches b
      cross join lateral (
        select * from research_jobs where batch_id = b.id order by company_id limit ${limit}
      ) j
      where b.campaign_id = ${campaignId}
        and (b.created_at, b.id) > (${after?.createdAt ?? '-infinity'}::timestamptz, ${after?.id ?? firstId}::uuid)
      order by b.created_at, b.id, j.company_id limit ${limit}
    )
    order by batch_at, batch_id, company_id limit ${limit}`;
}
