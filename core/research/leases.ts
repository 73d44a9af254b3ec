import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { endBatches } from './batches.ts';
import { maxCrashes } from './dead-letters.ts';

const rowsPerChunk = 1_000;
/** Of up to 1,000 ids each. */
const outboxRowsPerChunk = 10;

/**
 * Ends a chunk of leases, the longest expired first. One that the provider held used up an attempt; of one that ended
 * before, our own process died, which costs no attempt, and the job runs alone next.
 * @returns how many there were, up to 1,000
 */
export async function expireLeases(db: Db): Promise<number> {
  const rows = await db.query<{ batch_id: string; status: string }>(sql('sweep.leases')`
    with expired as (
      select j.id, j.attempt_id, j.accepted_at is null as crashed,
        case when j.accepted_at is null then j.crash_count + 1 >= ${maxCrashes}
          else j.retry_count >= p.max_retries end as hopeless
      from research_jobs j join research_providers p on p.id = j.provider_id
      where j.status = 'processing' and j.lease_until < now()
      order by j.lease_until, j.id
      limit ${rowsPerChunk}
      for update of j skip locked
    ), attempt as (
      update research_attempts a
      set outcome = case when expired.crashed then 'crashed' else 'expired' end, finished_at = now()
      from expired where a.id = expired.attempt_id
    )
    update research_jobs j
    set status = case when hopeless then 'failed' else 'queued' end,
      crash_count = j.crash_count + crashed::int,
      retry_count = j.retry_count + (not crashed and not hopeless)::int,
      error_code = case when crashed then 'crashed' else 'callback_timeout' end,
      error_message = case when crashed then 'the attempt to run this job ended without an outcome'
        else 'the provider accepted the job, but did not call back within its lease' end,
      run_at = now() + make_interval(secs => random() * least(3600, 2 * 2 ^ least(12, j.crash_count + j.retry_count))),
      lease_until = null, accepted_at = null,
      finished_at = case when hopeless then now() end,
      updated_at = now()
    from expired where j.id = expired.id
    returning j.batch_id, j.status`);
  await endBatches(
    db,
    rows.filter((job) => job.status === 'failed').map((job) => job.batch_id),
  );
  return rows.length;
}

/** Takes jobs off the conveyor whose message must have got lost: they are fed again. */
export async function unfeedLost(db: Db): Promise<number> {
  const rows = await db.query(sql('sweep.unfeed')`
    with lost as (
      -- In the order of the index, or statistics from when all jobs were fed would have the table walked instead.
      select id from research_jobs where fed_until < now()
      order by provider_id, fed_until limit ${rowsPerChunk} for update skip locked
    )
    update research_jobs j set fed_until = null from lost where j.id = lost.id returning j.id`);
  return rows.length;
}

/**
 * Takes jobs off the conveyor that a process had picked and, as far as is known, died before it had sent them. One that
 * is only slow sends them as well: a message too many, whose jobs are claimed once.
 * @returns how many were picked so, up to 10,000
 */
export async function unfeedUnsent(db: Db): Promise<number> {
  const [row] = await db.query<{ ids: number }>(sql('sweep.unsent')`
    with unsent as (
      delete from research_outbox o
      using (
        select feed_id, user_id, part from research_outbox where picked_at < now() - interval '1 minute'
        order by picked_at limit ${outboxRowsPerChunk} for update skip locked
      ) old
      where o.feed_id = old.feed_id and o.user_id = old.user_id and o.part = old.part
      returning o.job_ids
    ), waiting as (
      -- In the order in which claims lock them.
      select id, fed_until from research_jobs
      where id = any((select array_agg(id) from unsent, unnest(job_ids) as id)::uuid[]) and status = 'queued'
      order by id for update
    ), unstamped as (
      update research_jobs j set fed_until = null from waiting
      where j.id = waiting.id and waiting.fed_until is not null
    )
    select coalesce(sum(cardinality(job_ids)), 0)::int as ids from unsent`);
  return row?.ids ?? 0;
}
