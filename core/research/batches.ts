import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import type { DeliveryQueue } from '../deliveries/queue.ts';
import { feedGraceSeconds, sendResumes } from '../resumes/send.ts';
import { foldCounts } from './counts.ts';
import type { Log } from './queue.ts';

const companiesPerChunk = 10_000;
/** To sum this many counts takes about a millisecond. */
const crowded = 2_000;

/** As a sub-select that is no EXISTS, which a plan might answer by reading all open jobs there are. */
const noJobIsOpen = sql.fragment`(
    select true from research_jobs j where j.batch_id = b.id and j.status in ('queued', 'processing') limit 1
  ) is null`;

/**
 * Whether batch `b` has no open job. Its counts say so, in one look; where they say none, the jobs themselves are asked,
 * for an end is for good.
 */
export const hasNoOpenJob = sql.fragment`case
  when (select coalesce(sum(n.queued + n.processing), 0) from batch_counts n where n.batch_id = b.id) > 0 then false
  else ${noJobIsOpen} end`;

export interface EndedBatch {
  id: string;
  user_id: string;
  /** Somebody waits for it: its resume became due with its end. */
  resumes: boolean | null;
}

/**
 * Ends those batches that are sealed, expanded and have no open job left. Runs after the commit that closed a job:
 * of two settles that each close one of the last two jobs, whoever looks later sees both. A crash in between is
 * healed by the sweep. Whoever waits for one of them becomes due for a resume in the same statement, so once.
 * @param graceSeconds how long the sweep leaves the resumes to the caller, who sends them; none by default
 * @returns the batches that ended now
 */
export async function endBatches(
  db: Db,
  batchIds: string[],
  { graceSeconds = 0 }: { graceSeconds?: number } = {},
): Promise<EndedBatch[]> {
  return (await lookAndEnd(db, batchIds, graceSeconds)).filter(({ ended }) => ended);
}

interface LookedAt extends EndedBatch {
  ended: boolean;
  /** That its counts are the sum of. */
  counts: number;
}

/** @returns those that could have ended: sealed and expanded */
async function lookAndEnd(db: Db, batchIds: string[], graceSeconds: number): Promise<LookedAt[]> {
  if (batchIds.length === 0) return [];
  return db.query<LookedAt>(sql('batches.end')`
    with looked as materialized (
      select b.id, b.user_id, n.open, n.counts
      from research_batches b
      cross join lateral (
        select coalesce(sum(queued + processing), 0) as open, count(*) as counts from batch_counts where batch_id = b.id
      ) n
      where b.id = any(${[...new Set(batchIds)]}::uuid[])
        and b.status = 'open' and b.sealed_at is not null and b.expanded_at is not null
    ), ended as (
      select b.id from looked join research_batches b on b.id = looked.id
      where b.status = 'open' and b.sealed_at is not null and b.expanded_at is not null
        and case when looked.open > 0 then false else ${noJobIsOpen} end
      order by b.id for update of b
    ), closed as (
      update research_batches b
      set status = 'completed', finished_at = now(), updated_at = now(),
        resume_state = case when b.resume_state = 'waiting' then 'due' else b.resume_state end,
        resume_at = case when b.resume_state = 'waiting' then now() else b.resume_at end,
        resume_feed_at = case when b.resume_state = 'waiting' then now() + make_interval(secs => ${graceSeconds})
          else b.resume_feed_at end
      from ended where b.id = ended.id
      returning b.id, b.resume_at = now() as resumes
    )
    select looked.id, looked.user_id, looked.counts, closed.id is not null as ended, closed.resumes
    from looked left join closed on closed.id = looked.id`);
}

/**
 * The same, and then resumes at once whoever waits for them: the message goes out after the commit. One that was not
 * sent, for a crash or for trouble with the queue, is sent by the sweep. Each call adds to the counts that the next one
 * sums, so a batch with many calls in a minute does not wait for the sweep to fold them.
 */
export async function closeBatches(
  deps: { db: Db; deliveries: DeliveryQueue; log: Log },
  batchIds: string[],
): Promise<EndedBatch[]> {
  const looked = await lookAndEnd(deps.db, batchIds, feedGraceSeconds);
  const ended = looked.filter((batch) => batch.ended);
  await sendResumes(
    deps,
    ended.filter(({ resumes }) => resumes),
  );
  for (const batch of looked) if (batch.counts > crowded) await foldCounts(deps, batch);
  return ended;
}

/**
 * Makes the jobs of a batch over all companies of its campaign, chunk by chunk, until done or out of time. Each chunk
 * and the place it reached commit together, so it resumes where it stopped and makes no job twice.
 * @param db outside of a transaction
 * @returns whether all chunks are made
 */
export async function expand(db: Db, batchId: string, { budgetMs }: { budgetMs: number }): Promise<boolean> {
  const until = Date.now() + budgetMs;
  let passOver = false;
  for (;;) {
    try {
      const chunk = await expandChunk(db, batchId, { passOver });
      if (!chunk || chunk.expanded) return true;
      if (Date.now() > until) return false;
    } catch (error) {
      // Some of the companies were given by name before. Few batches are made so: to look at each row for that before
      // it is written took a fifth of the time. Nothing of the chunk was kept.
      if (passOver || !isThereAlready(error)) throw error;
      passOver = true;
    }
  }
}

const isThereAlready = (error: unknown) =>
  (error as { constraint?: string } | null)?.constraint === 'research_jobs_batch_company';

/** @param passOver over companies that have a job in the batch, instead of failing by them */
async function expandChunk(
  db: Db,
  batchId: string,
  { passOver }: { passOver: boolean },
): Promise<{ expanded: boolean } | undefined> {
  const [chunk] = await db.query<{ expanded: boolean }>(sql('batches.expand')`
    with batch as (
      select id, user_id, campaign_id, provider_id, kind, priority, run_at, coalesce(expands_until, created_at) as until,
        expanded_to_created_at, expanded_to_id
      from research_batches
      where id = ${batchId} and status = 'open' and expands_all and expanded_at is null
      for update
    ), page as (
      select c.id, c.created_at from batch
      cross join lateral (
        select id, created_at from companies
        where campaign_id = batch.campaign_id and created_at <= batch.until
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
      ${passOver ? sql.fragment`on conflict (batch_id, company_id) do nothing` : sql.empty}
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
  return chunk;
}
