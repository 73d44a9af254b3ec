import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';

export interface ClaimedResume {
  id: string;
  user_id: string;
  campaign_id: string;
  kind: string;
  status: 'open' | 'completed' | 'cancelled';
  total: number;
  finished_at: string | null;
  url: string;
  /** Tells one wait from another for the same batch, at each of its tries; null for one without a limit. */
  wait: number | null;
  /** The fence of the settle. */
  lease_id: string;
  /** This one counted. */
  attempts: number;
  gone_count: number;
  /** Since the resume first became due. */
  age_seconds: number;
}

/**
 * Claims the due resumes among `batchIds`, committed before any URL is asked. What somebody else holds, is not due yet
 * or was settled is left out, so a message that comes twice asks once. Waits for row locks rather than skipping them:
 * the message is gone after this.
 * @param leaseSeconds longer than the caller may live; afterwards the sweep sends the resume again
 */
export function claimResumes(
  db: Db,
  batchIds: string[],
  { leaseSeconds }: { leaseSeconds: number },
): Promise<ClaimedResume[]> {
  return db.query(sql('resumes.claim')`
    with due as (
      select id from research_batches
      where id = any(${batchIds}::uuid[]) and resume_state = 'due' and resume_at <= now()
        and (resume_lease_until is null or resume_lease_until < now())
      order by id for update
    )
    update research_batches b
    set resume_lease_id = gen_random_uuid(),
      resume_lease_until = now() + make_interval(secs => ${leaseSeconds}),
      resume_feed_at = now() + make_interval(secs => ${leaseSeconds}),
      resume_attempts = b.resume_attempts + 1
    from due where b.id = due.id
    returning b.id, b.user_id, b.campaign_id, b.kind, b.status, b.total,
      to_char(b.finished_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as finished_at,
      b.resume_url as url, (extract(epoch from b.resume_by) * 1000000)::bigint as wait, b.resume_lease_id as lease_id, b.resume_attempts as attempts,
      b.resume_gone_count as gone_count,
      extract(epoch from now() - least(b.finished_at, b.resume_by))::float8 as age_seconds`);
}
