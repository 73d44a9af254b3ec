import { randomUUID } from 'node:crypto';
import type { Db } from '../db/connect.ts';
import { type Fragment, sql } from '../db/sql.ts';
import { endBatches, expand, hasNoOpenJob } from './batches.ts';

const rowsPerChunk = 1_000;
const expandMs = 2_000;
/** So far back batches that were cancelled are looked at; those of all times would be more every day. */
const cancelledDays = 7;
const weekMs = 7 * 24 * 60 * 60 * 1000;
const firstId = '00000000-0000-0000-0000-000000000000';
const lastId = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

/**
 * A chunk of the open jobs of these batches, locked: batch by batch, each through the index that has its open jobs
 * together, so no chunk sorts all that are left.
 */
const openJobsOf = (batches: Fragment): Fragment => sql.fragment`
  select j.id from (${batches} offset 0) b
  cross join lateral (
    select id from research_jobs where batch_id = b.id and status in ('queued', 'processing')
    order by status, company_id limit ${rowsPerChunk} for update skip locked
  ) j
  limit ${rowsPerChunk}`;

/** Fails a chunk of open jobs of batches past their deadline. */
export async function failOverdue(db: Db): Promise<number> {
  const rows = await db.query<{ batch_id: string }>(sql('sweep.overdue')`
    with overdue as (
      ${openJobsOf(sql.fragment`
        select id from research_batches where status = 'open' and deadline < now() order by deadline, id`)}
    )
    update research_jobs j
    set status = 'failed', error_code = 'deadline_exceeded', error_message = 'the batch is past its deadline',
      fed_until = null, lease_until = null, accepted_at = null, finished_at = now(), updated_at = now()
    from overdue where j.id = overdue.id
    returning j.batch_id`);
  return rows.length;
}

/**
 * Cancels a chunk of open jobs of batches that were cancelled lately: whoever cancels ends the batches first, and may
 * have died, or run out of time, before their jobs.
 */
export async function cancelLeft(db: Db): Promise<number> {
  const rows = await db.query(sql('sweep.cancelled')`
    with left_open as (
      ${openJobsOf(sql.fragment`
        select id from research_batches
        where status = 'cancelled' and finished_at > now() - make_interval(days => ${cancelledDays})
        order by finished_at, id`)}
    )
    update research_jobs j set status = 'cancelled', finished_at = now(), updated_at = now(), lease_until = null,
      accepted_at = null, fed_until = null, error_code = null, error_message = null
    from left_open where j.id = left_open.id
    returning j.id`);
  return rows.length;
}

/** A batch past its deadline takes no more jobs, so that it can end. */
export async function sealOverdue(db: Db): Promise<void> {
  await db.query(sql('sweep.seal')`
    update research_batches
    set sealed_at = coalesce(sealed_at, now()), expanded_at = coalesce(expanded_at, now()), updated_at = now()
    where status = 'open' and deadline < now() and (sealed_at is null or expanded_at is null)`);
}

/**
 * Goes on with batches over all companies whose jobs are not all made: in random order and a little of each, so that
 * neither a huge one nor one that cannot be expanded keeps the others waiting; round and round as long as there is time.
 * @throws the last error, after all had their turn
 */
export async function expandUnfinished(db: Db, { hasTime }: { hasTime: () => boolean }): Promise<number> {
  const failed: string[] = [];
  let failure: unknown;
  let expanded = 0;
  while (hasTime()) {
    const batches = await db.query<{ id: string }>(sql('sweep.unexpanded')`
      select id from research_batches
      where status = 'open' and expands_all and expanded_at is null and id <> all(${failed}::uuid[])
      order by random() limit 100`);
    if (batches.length === 0) break;
    for (const { id } of batches) {
      if (!hasTime()) break;
      try {
        expanded += Number(await expand(db, id, { budgetMs: expandMs }));
      } catch (error) {
        failure = error;
        failed.push(id);
      }
    }
  }
  if (failure !== undefined) throw failure;
  return expanded;
}

/**
 * Ends batches whose last job ended without anybody noticing. Goes round all open ones, from a random place, as long
 * as there is time: many that are still at work keep none from being looked at.
 */
export async function endMissed(db: Db, { hasTime }: { hasTime: () => boolean }): Promise<number> {
  const start = { deadline: new Date(Date.now() + Math.random() * weekMs).toISOString(), id: randomUUID() };
  const ended =
    (await endMissedBetween(db, start, null, hasTime)) +
    (await endMissedBetween(db, { deadline: '-infinity', id: firstId }, start, hasTime));
  return ended;
}

interface Place {
  deadline: string;
  id: string;
}

async function endMissedBetween(
  db: Db,
  from: Place,
  to: Place | null,
  hasTime: () => boolean,
): Promise<number> {
  let after = from;
  let ended = 0;
  while (hasTime()) {
    const page = await db.query<Place & { missed: boolean }>(sql('sweep.missed')`
      select b.id, b.deadline, b.sealed_at is not null and b.expanded_at is not null and ${hasNoOpenJob} as missed
      from research_batches b
      where b.status = 'open' and (b.deadline, b.id) > (${after.deadline}::timestamptz, ${after.id}::uuid)
        and (b.deadline, b.id) <= (
          coalesce(${to?.deadline ?? null}::timestamptz, 'infinity'), coalesce(${to?.id ?? null}::uuid, ${lastId}))
      order by b.deadline, b.id limit ${rowsPerChunk}`);
    const missed = page.filter((batch) => batch.missed).map((batch) => batch.id);
    ended += (await endBatches(db, missed)).length;
    const last = page.at(-1);
    if (!last || page.length < rowsPerChunk) break;
    after = last;
  }
  return ended;
}
