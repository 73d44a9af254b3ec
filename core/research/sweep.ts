import { fold } from '../campaigns/counts/fold.ts';
import { reconcile } from '../campaigns/counts/reconcile.ts';
import { removeDeleted } from '../campaigns/delete.ts';
import { maintainChanges } from '../changes/maintain.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { backfillSearch } from '../search/backfill.ts';
import { endBatches, expand } from './batches.ts';
import { maxCrashes } from './dead-letters.ts';
import { feed } from './feed.ts';
import type { Log, ResearchQueue } from './queue.ts';

const rowsPerChunk = 1_000;

/**
 * The safety net, once a minute: ends expired leases, takes back what the conveyor lost, goes on with unfinished
 * batches, ends those past their deadline or whose end was missed, feeds, forgets old idempotency keys, removes what
 * was deleted, folds the counts and proves some of them, keeps the change feed's partitions and fills search vectors. Every step works in chunks that commit on their own and skip
 * locked rows, so two sweeps at once do no harm.
 * @param remainingMs how long this invocation may still run
 */
export async function sweep(
  deps: { db: Db; queue: ResearchQueue; log: Log },
  { remainingMs }: { remainingMs: () => number },
): Promise<void> {
  const { db } = deps;
  const hasTime = () => remainingMs() > 5_000;
  const repeat = async (step: () => Promise<number>) => {
    let rows = 0;
    for (let chunk = rowsPerChunk; chunk >= rowsPerChunk && hasTime(); rows += chunk) chunk = await step();
    return rows;
  };

  const expired = await repeat(() => expireLeases(db));
  const lost = await repeat(() => unfeedLost(db));
  const overdue = await repeat(() => failOverdue(db));
  await sealOverdue(db);
  for (const { id } of await unexpanded(db)) {
    if (hasTime()) await expand(db, id, { budgetMs: Math.max(0, remainingMs() - 10_000) });
  }
  const ended = await endMissed(db);
  const fed = await feed(deps);
  const forgotten = await repeat(() => forgetKeys(db));
  const atMost = (ms: number) => ({ budgetMs: Math.min(ms, Math.max(0, remainingMs() - 10_000)) });
  const { removed } = await removeDeleted(db, atMost(20_000));
  const folded = await fold(db, atMost(5_000));
  await proveCounts(deps, atMost(5_000));
  await maintainChanges(deps);
  const searchable = await backfillSearch(deps, { hasTime });
  deps.log.info('research.swept', {
    expired,
    lost,
    overdue,
    ended,
    fed: fed.jobs,
    forgotten,
    removed,
    folded,
    searchable,
  });
}

async function proveCounts({ db, log }: { db: Db; log: Log }, budget: { budgetMs: number }): Promise<void> {
  const { off, unproved } = await reconcile(db, { repair: true, ...budget });
  if (off.length > 0) log.warn('counts.repaired', { counts: off });
  if (unproved.length > 0) log.warn('counts.unproved', { campaignIds: unproved });
}

/** A lease that ended: with the provider, it used an attempt; before, our own process died and the job runs alone. */
async function expireLeases(db: Db): Promise<number> {
  const rows = await db.query<{ batch_id: string; status: string }>(sql('sweep.leases')`
    with expired as (
      select j.id, j.attempt_id, j.accepted_at is null as crashed,
        case when j.accepted_at is null then j.crash_count + 1 >= ${maxCrashes}
          else j.retry_count >= p.max_retries end as hopeless
      from research_jobs j join research_providers p on p.id = j.provider_id
      where j.status = 'processing' and j.lease_until < now()
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

async function unfeedLost(db: Db): Promise<number> {
  const rows = await db.query(sql('sweep.unfeed')`
    with lost as (
      select id from research_jobs where fed_until < now() limit ${rowsPerChunk} for update skip locked
    )
    update research_jobs j set fed_until = null from lost where j.id = lost.id returning j.id`);
  return rows.length;
}

async function failOverdue(db: Db): Promise<number> {
  const rows = await db.query<{ batch_id: string }>(sql('sweep.overdue')`
    with overdue as (
      select j.id from research_batches b
      join research_jobs j on j.batch_id = b.id and j.status in ('queued', 'processing')
      where b.status = 'open' and b.deadline < now()
      limit ${rowsPerChunk}
      for update of j skip locked
    )
    update research_jobs j
    set status = 'failed', error_code = 'deadline_exceeded', error_message = 'the batch is past its deadline',
      fed_until = null, lease_until = null, accepted_at = null, finished_at = now(), updated_at = now()
    from overdue where j.id = overdue.id
    returning j.batch_id`);
  return rows.length;
}

async function sealOverdue(db: Db): Promise<void> {
  await db.query(sql('sweep.seal')`
    update research_batches
    set sealed_at = coalesce(sealed_at, now()), expanded_at = coalesce(expanded_at, now()), updated_at = now()
    where status = 'open' and deadline < now() and (sealed_at is null or expanded_at is null)`);
}

function unexpanded(db: Db): Promise<{ id: string }[]> {
  return db.query(sql('sweep.unexpanded')`
    select id from research_batches where status = 'open' and expands_all and expanded_at is null
    order by deadline, id limit 100`);
}

async function endMissed(db: Db): Promise<number> {
  const rows = await db.query<{ id: string }>(sql('sweep.missed')`
    select b.id from research_batches b
    where b.status = 'open' and b.sealed_at is not null and b.expanded_at is not null
      and not exists (select from research_jobs j where j.batch_id = b.id and j.status in ('queued', 'processing'))
    order by b.deadline, b.id limit ${rowsPerChunk}`);
  return (
    await endBatches(
      db,
      rows.map((row) => row.id),
    )
  ).length;
}

async function forgetKeys(db: Db): Promise<number> {
  const rows = await db.query(sql('sweep.keys')`
    with old as (
      select user_id, key from idempotency_keys where created_at < now() - interval '1 day'
      limit ${rowsPerChunk} for update skip locked
    )
    delete from idempotency_keys k using old where k.user_id = old.user_id and k.key = old.key returning k.key`);
  return rows.length;
}
