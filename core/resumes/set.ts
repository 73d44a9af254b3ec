import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { Conflict } from '../errors.ts';

/**
 * Notes whom the end of an open batch resumes, in the transaction that makes or adds to it. The URL that was given
 * first stays, and its limit with it, until it was asked: at its limit, for one, and then the same or another may wait. While
 * it is being asked only the same may.
 * @param withinSeconds from now, after which the URL is asked though the batch is still open
 * @throws Conflict when the batch resumes another URL
 */
export async function awaitEnd(tx: Db, batchId: string, url: string, withinSeconds?: number): Promise<void> {
  // Who is being asked this moment may have answered already, and his next wait is another; or he was not asleep yet, and
  // is to be asked again, so nobody else takes his place.
  const [armed] = await tx.query(sql('resumes.set')`
    update research_batches
    set resume_url = ${url}, resume_state = 'waiting', resume_attempts = 0, resume_gone_count = 0, resume_error = null,
      resume_by = now() + make_interval(secs => ${withinSeconds ?? null}), resume_at = null, resume_feed_at = null,
      resume_lease_id = null, resume_lease_until = null
    where id = ${batchId}
      and not (resume_state = 'waiting'
        or (resume_state = 'due' and (resume_lease_id is null or resume_url <> ${url})))
    returning id`);
  if (armed) return;
  const [same] = await tx.query(sql('resumes.same')`
    select id from research_batches where id = ${batchId} and resume_url = ${url}`);
  if (same) return;
  throw new Conflict(
    'resume_url_mismatch',
    `batch ${batchId} resumes another URL when it ends; leave resumeUrl out, or start a new batch`,
  );
}
