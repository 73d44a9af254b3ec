import { type Fragment, sql } from '../db/sql.ts';
import { type ArchivedTable, keyOf, ofJobs } from './chunk.ts';
import { type Column, gathered, isJson, list } from './columns.ts';

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
 * The next rows of a campaign gathered into one row, `page`: each column's values, in the order of the walk; how many rows
 * were `taken` and how many `seen`, which is fewer than the limit, and no more than were taken, when nothing is left
 * behind them (for what hangs on jobs it counts jobs); and the position after them, `created_at, at_id, at_company_id`.
 */
export function nextRows(
  { table, columns }: { table: ArchivedTable; columns: Column[] },
  campaignId: string,
  after: Position | null,
  limit: number,
): Fragment {
  const own = list(columns.map(({ name }) => sql.fragment`t.${sql.identifier(name)}`));
  if (table === 'research_jobs') {
    return sql.fragment`
      page as materialized (
        select count(*) as taken, count(*) as seen, (array_agg(t.batch_at))[count(*)] as created_at,
          (array_agg(t.batch_id))[count(*)] as at_id, (array_agg(t.company_id))[count(*)] as at_company_id,
          ${gathered(columns)}
        from (${jobs(campaignId, after, limit, own)}) t
      )`;
  }
  if (ofJobs(table)) {
    const since = sql.identifier(table === 'late_results' ? 'received_at' : 'started_at');
    const key = sql.identifier(keyOf(table));
    return sql.fragment`
      reached as materialized (
        select row_number() over (order by t.batch_at, t.batch_id, t.company_id) as n, t.batch_at, t.batch_id,
          t.company_id, t.id as job_id
        from (${jobs(campaignId, after, limit, sql.fragment`t.id, t.batch_id, t.company_id`)}) t
      ), taken as (
        select count(*) as taken, max(t.job) as job, ${gathered(columns)}
        from (
          select reached.n as job, ${own} from reached join ${sql.identifier(table)} t on t.job_id = reached.job_id
          order by reached.n, t.${since}, t.${key} limit ${limit}
        ) t
      ), seen as (select count(*) as seen from reached), page as materialized (
        select taken.*, seen.seen, reached.batch_at as created_at, reached.batch_id as at_id,
          reached.company_id as at_company_id
        from taken cross join seen
        -- More may be left of the job that the last one belongs to: begin there again.
        left join reached on reached.n = case when taken.taken = ${limit} then taken.job - 1 else seen.seen end
      )`;
  }
  const sizes = columns
    .filter(isJson)
    .map(({ name }) => sql.fragment`coalesce(pg_column_size(t.${sql.identifier(name)}), 0)`);
  const bytes = sizes.reduce((all, size) => sql.fragment`${all} + ${size}`, sql.fragment`0`);
  return sql.fragment`
    page as materialized (
      -- Whether all of them fit is known by the last that does.
      select count(*) as taken, case when coalesce(max(t.bytes), 0) < ${maxPageBytes}::int then count(*) else ${limit} end as seen,
        (array_agg(t.created_at))[count(*)] as created_at, (array_agg(t.id))[count(*)] as at_id,
        null::uuid as at_company_id, ${gathered(columns)}
      from (
        select * from (
          select ${own}, sum(${bytes}) over w as bytes, ${bytes} as own_bytes
          from ${sql.identifier(table)} t
          where t.campaign_id = ${campaignId}
            and (t.created_at, t.id) > (${after?.createdAt ?? '-infinity'}::timestamptz, ${after?.id ?? firstId}::uuid)
          window w as (order by t.created_at, t.id rows unbounded preceding)
          order by t.created_at, t.id limit ${limit}
        ) t
        where t.bytes - t.own_bytes < ${maxPageBytes}::int
      ) t
    )`;
}

/** The rest of the batch at hand, then the batches behind it: a walk over all would begin among dead rows. */
function jobs(campaignId: string, after: Position | null, limit: number, own: Fragment): Fragment {
  return sql.fragment`
    (
      select b.created_at as batch_at, ${own}
      from research_batches b join research_jobs t on t.batch_id = b.id
      where b.id = ${after?.id ?? null}::uuid and t.company_id > ${after?.companyId ?? firstId}::uuid
      order by t.company_id limit ${limit}
    ) union all (
      select b.created_at as batch_at, ${own}
      from research_batches b
      cross join lateral (
        select * from research_jobs where batch_id = b.id order by company_id limit ${limit}
      ) t
      where b.campaign_id = ${campaignId}
        and (b.created_at, b.id) > (${after?.createdAt ?? '-infinity'}::timestamptz, ${after?.id ?? firstId}::uuid)
      order by b.created_at, b.id, t.company_id limit ${limit}
    )
    order by batch_at, batch_id, company_id limit ${limit}`;
}
