import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';

const companiesPerChunk = 10_000;

/**
 * Ends those batches that are sealed, expanded and have no open job left. Runs after the commit that closed a job:
 * of two settles that each close one of the last two jobs, whoever looks later sees both. A crash in between is
 * healed by the sweep.
 * @returns the ids of the batches that ended now
 */
export async function endBatches(db: Db, batchIds: string[]): Promise<string[]> {
  if (batchIds.length === 0) return [];
  const rows = await db.query<{ id: string }>(sql('batches.end')`
    with ended as (
      select b.id from research_batches b
      where b.id = any(${[...new Set(batchIds)]}::uuid[])
        and b.status = 'open' and b.sealed_at is not null and b.expanded_at is not null
        and not exists (
          select from research_jobs j where j.batch_id = b.id and j.status in ('queued', 'processing')
        )
      order by b.id for update of b
    )
    update research_batches b set status = 'completed', finished_at = now(), updated_at = now()
    from ended where b.id = ended.id
    returning b.id`);
  return rows.map((row) => row.id);
}

/**
 * Makes the jobs of a batch over all companies of its campaign, chunk by chunk, until done or out of time. Each chunk
 * and the place it reached commit together, so it resumes where it stopped and makes no job twice.
 * @returns whether all chunks are made
 */
export async function expand(db: Db, batchId: string, { budgetMs }: { budgetMs: number }): Promise<boolean> {
  const until = Date.now() + budgetMs;
  for (;;) {
    const [chunk] = await db.query<{ expanded: boolean }>(sql('batches.expand')`
      with batch as (
        select id, user_id, campaign_id, provider_id, kind, priority, run_at, created_at,
          expanded_to_created_at, expanded_to_id
        from research_batches
        where id = ${batchId} and status = 'open' and expands_all and expanded_at is null
        for update
      ), page as (
        select c.id, c.created_at from batch
        cross join lateral (
          select id, created_at from companies
          where campaign_id = batch.campaign_id and created_at <= batch.created_at
            and (created_at, id) > (
              coalesce(batch.expanded_to_created_at, '-infinity'),
              coalesce(batch.expanded_to_id, '00000000-0000-0000-0000-000000000000'))
          order by created_at, id
          limit ${companiesPerChunk}
        ) c
      ), made as (
        insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind, priority, run_at)
        select batch.user_id, batch.id, page.id, batch.campaign_id, batch.provider_id, batch.kind, batch.priority, batch.run_at
        from page, batch
        order by page.created_at, page.id
        on conflict (batch_id, company_id) do nothing
        returning id
      ), reached as (
        select created_at, id from page order by created_at desc, id desc limit 1
      )
      update research_batches b
      set total = b.total + (select count(*) from made),
        expanded_to_created_at = coalesce((select created_at from reached), b.expanded_to_created_at),
        expanded_to_id = coalesce((select id from reached), b.expanded_to_id),
        expanded_at = case when (select count(*) from page) < ${companiesPerChunk} then now() end,
        updated_at = now()
      from batch
      where b.id = batch.id
      returning b.expanded_at is not null as expanded`);
    if (!chunk || chunk.expanded) return true;
    if (Date.now() > until) return false;
  }
}
