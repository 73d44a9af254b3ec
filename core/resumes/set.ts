import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { Conflict } from '../errors.ts';

/**
 * Notes whom the end of an open batch resumes, in the transaction that makes or adds to it. The URL that was given
 * first stays, and its limit with it, until it was asked: at its limit, for one, and then the same or another may wait.
 * @param withinSeconds from now, after which the URL is asked though the batch is still open
 * @throws Conflict when the batch resumes another URL
 */
export async function awaitEnd(tx: Db, batchId: string, url: string, withinSeconds?: number): Promise<void> {
  // Who is being asked this moment may have answered already, and his next wait is another.
  const isSet = sql.fragment`(resume_state = 'waiting' or (resume_state = 'due' and resume_lease_id is null))`;
  const [batch] = await tx.query(sql('resumes.set')`
    update research_batches
    set resume_url = ${url},
      resume_state = case when ${isSet} then resume_state else 'waiting' end,
      resume_by = case when ${isSet} then resume_by else now() + make_interval(secs => ${withinSeconds ?? null}) end,
      resume_attempts = case when ${isSet} then resume_attempts else 0 end,
      resume_gone_count = case when ${isSet} then resume_gone_count else 0 end,
      resume_error = case when ${isSet} then resume_error end,
      resume_at = case when ${isSet} then resume_at end,
      resume_feed_at = case when ${isSet} then resume_feed_at end,
      resume_lease_id = null,
      resume_lease_until = null
    where id = ${batchId} and (resume_url is null or resume_url = ${url} or not ${isSet})
    returning id`);
  if (batch) return;
  throw new Conflict(
    'resume_url_mismatch',
    `batch ${batchId} resumes another URL when it ends; leave resumeUrl out, or start a new batch`,
  );
}
