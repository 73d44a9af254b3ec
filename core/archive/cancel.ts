import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { AimError, NotFound } from '../errors.ts';

const jobsPerChunk = 1_000;

/** Some jobs are open still: the same request again goes on with them. */
export class Cancelling extends AimError {
  constructor(campaignId: string, jobs: number) {
    super(
      `${jobs} open jobs of campaign ${campaignId} are still to be cancelled; send the same request again`,
      { code: 'cancelling', status: 503, retryable: true },
    );
  }
}

/**
 * Cancels what is open below a campaign, in sets that commit on their own: first the batches, so that they grow no
 * more, then their jobs. Whatever a crash or the time leaves, the same again goes on with, and the sweep. A late result
 * of a cancelled job changes nothing.
 * @param db outside of a transaction
 * @param remainingMs no set is begun once it is used up
 * @throws NotFound, and Cancelling with how many jobs are left
 */
export async function cancelOpen(
  db: Db,
  tenantId: string,
  campaignId: string,
  { remainingMs }: { remainingMs: () => number },
): Promise<void> {
  const [campaign] = await db.query(sql('archive.exists')`
    select id from campaigns where id = ${campaignId} and user_id = ${tenantId} and deleted_at is null`);
  if (!campaign) throw new NotFound('campaign', campaignId);
  for (const cancelSome of [cancelBatches, cancelJobs]) {
    for (let chunk = jobsPerChunk; chunk === jobsPerChunk; ) {
      if (remainingMs() <= 0) throw new Cancelling(campaignId, await countOpen(db, tenantId, campaignId));
      chunk = await cancelSome(db, tenantId, campaignId);
    }
  }
}

async function cancelBatches(db: Db, tenantId: string, campaignId: string): Promise<number> {
  const cancelled = await db.query(sql('archive.cancel_batches')`
    update research_batches set status = 'cancelled', finished_at = now(), updated_at = now(),
      resume_state = case resume_state when 'waiting' then 'due' else resume_state end,
      resume_at = case resume_state when 'waiting' then now() else resume_at end,
      resume_feed_at = case resume_state when 'waiting' then now() else resume_feed_at end
    where id in (
      select id from research_batches where campaign_id = ${campaignId} and user_id = ${tenantId} and status = 'open'
      order by id limit ${jobsPerChunk} for update
    ) returning id`);
  return cancelled.length;
}

async function cancelJobs(db: Db, tenantId: string, campaignId: string): Promise<number> {
  const cancelled = await db.query(sql('archive.cancel_jobs')`
    with open as (
      -- Batch by batch, each through the index that has its open jobs together: no chunk sorts all that are left.
      select j.id
      from (
        select id from research_batches where campaign_id = ${campaignId} and user_id = ${tenantId} offset 0
      ) b
      cross join lateral (
        select id from research_jobs
        where batch_id = b.id and status in ('queued', 'processing') order by status, company_id limit ${jobsPerChunk}
      ) j
      limit ${jobsPerChunk}
    ), held as (
      select id from research_jobs where id in (select id from open) and status in ('queued', 'processing')
      order by id for update
    )
    update research_jobs j set status = 'cancelled', finished_at = now(), updated_at = now(), lease_until = null,
      accepted_at = null, fed_until = null, error_code = null, error_message = null
    from held where j.id = held.id returning j.id`);
  return cancelled.length;
}

async function countOpen(db: Db, tenantId: string, campaignId: string): Promise<number> {
  const [open] = await db.query<{ jobs: number }>(sql('archive.left')`
    select coalesce(sum(n.queued + n.processing), 0)::bigint as jobs
    from research_batches b join batch_counts n on n.batch_id = b.id
    where b.campaign_id = ${campaignId} and b.user_id = ${tenantId}`);
  return open?.jobs ?? 0;
}
