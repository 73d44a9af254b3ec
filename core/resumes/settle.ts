import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { feedGraceSeconds, type SentResume } from './send.ts';

/** What is later than the queue can delay a message is left to the sweep. */
const maxQueuedSeconds = 900;

export interface SettledResume {
  id: string;
  leaseId: string;
  state: 'done' | 'due' | 'failed';
  /** Of `due`: when to ask again. */
  delaySeconds?: number;
  /** Nobody was asked, so no attempt was used. */
  unasked?: boolean;
  goneCount: number;
  error: string | null;
}

/**
 * Writes what became of all claimed resumes, in one statement, fenced by the lease: who lost it changes nothing.
 * @returns those to put on the queue, with their delay; later ones are the sweep's
 */
export function settleResumes(db: Db, settled: SettledResume[]): Promise<SentResume[]> {
  const rows = settled.map((resume) => ({
    id: resume.id,
    lease_id: resume.leaseId,
    state: resume.state,
    delay: resume.delaySeconds ?? 0,
    unasked: resume.unasked ?? false,
    gone_count: resume.goneCount,
    error: resume.error,
  }));
  return db.query(sql('resumes.settle')`
    with settled as (
      update research_batches b
      set resume_state = s.state,
        resume_at = case when s.state = 'due' then now() + make_interval(secs => s.delay) end,
        resume_feed_at = case when s.state = 'due' then now() + make_interval(
          secs => s.delay + case when s.delay <= ${maxQueuedSeconds} then ${feedGraceSeconds}::int else 0 end) end,
        resume_attempts = b.resume_attempts - s.unasked::int,
        resume_gone_count = s.gone_count,
        resume_error = s.error,
        resume_lease_id = null, resume_lease_until = null
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as s
        (id uuid, lease_id uuid, state text, delay float8, unasked boolean, gone_count int, error text)
      where b.id = s.id and b.resume_lease_id = s.lease_id
      returning b.id, b.user_id, b.resume_state, s.delay
    )
    select id, user_id, delay as delay_seconds from settled
    where resume_state = 'due' and delay <= ${maxQueuedSeconds}`);
}
