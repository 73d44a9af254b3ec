import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';

const retentionDays = 90;
const rowsPerChunk = 1_000;
const hourMs = 60 * 60_000;
const dayMs = 24 * hourMs;

/** The lowest UUIDv7 of a moment. */
const firstIdOf = (ms: number) =>
  Math.max(0, Math.round(ms))
    .toString(16)
    .padStart(12, '0')
    .replace(/^(.{8})(.{4})$/, '$1-$2-0000-0000-000000000000');

/**
 * An hour to eleven years before `end`, each order of magnitude as likely as the others: most of what can go has just come
 * of age, and what was left of earlier times is come by as well, without a place to remember.
 */
const somewhereBefore = (end: number) => end - hourMs * 10 ** (5 * Math.random());

/**
 * Forgets attempts that began 90 days ago, by their ids, which are ordered by time. Those that tell how a job ended stay
 * with it: the last of each job; and so do those of jobs that are not at their end, those with a late result, which was
 * paid for, and those of an archived campaign, whose archive counts them. As there is no index of what is not to stay, a
 * call begins somewhere and goes on for as long as it finds any.
 * @param from where to begin, in ms
 * @returns how many are gone
 */
export async function pruneAttempts(
  db: Db,
  { hasTime, from }: { hasTime: () => boolean; from?: number },
): Promise<number> {
  const end = Date.now() - retentionDays * dayMs;
  let after = firstIdOf(from ?? somewhereBefore(end));
  let pruned = 0;
  while (hasTime()) {
    const [chunk] = await db.query<{ seen: number; last: string; pruned: number }>(sql('sweep.attempts')`
      with old as materialized (
        select id, job_id from research_attempts where id > ${after} and id < ${firstIdOf(end)}
        order by id limit ${rowsPerChunk}
      ), spent as (
        select a.id from old
        cross join lateral (
          select status, attempt_id, campaign_id from research_jobs where id = old.job_id limit 1
        ) j
        join campaigns c on c.id = j.campaign_id
        join research_attempts a on a.id = old.id
        where j.status in ('completed', 'failed', 'cancelled') and j.attempt_id is distinct from old.id
          and not exists (select from late_results where attempt_id = old.id)
          and not c.archived and c.deleted_at is null
        -- Whoever archives takes the key of the campaign for himself: what he sees stays as it is.
        order by a.id for update of a skip locked for key share of c skip locked
      ), gone as (
        delete from research_attempts where id = any(array(select id from spent)) returning id
      )
      select (select count(*) from old) as seen, (select id from old order by id desc limit 1) as last,
        (select count(*) from gone) as pruned`);
    if (!chunk) throw new Error('an aggregate returned no row');
    pruned += chunk.pruned;
    if (chunk.pruned === 0 || chunk.seen < rowsPerChunk) break;
    after = chunk.last;
  }
  return pruned;
}
