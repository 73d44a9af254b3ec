import type { ClaimedResume } from './claim.ts';
import type { Reply } from './post.ts';
import type { SettledResume } from './settle.ts';

const maxAgeSeconds = 7 * 24 * 60 * 60;
const maxDelaySeconds = 3_600;
/** n8n answers 409 while the execution is not asleep yet, which is soon over, and after it ended, which never is. */
const soonTries = 24;
const maxSoonSeconds = 300;
/** n8n says so once an execution is deleted; where it restores a database it may be there again. */
const goneTries = 7;
const firstGoneSeconds = 15;

/**
 * What a reply makes of a resume: 2xx is done; 409 is asked again after 1 s · 2ⁿ, at most 5 minutes, hourly once it
 * went on for two hours; 410, and the 404 with which n8n says that there is no such execution, are given up at the seventh in
 * a row, after 8 minutes at least; everything else, any other 404 too, is asked again after 2 s · 2ⁿ, at most an hour, for 7 days. Delays are random between half and the whole.
 */
export function outcomeOf(resume: ClaimedResume, reply: Reply, random: () => number): SettledResume {
  const head = { id: resume.id, leaseId: resume.lease_id, goneCount: 0, error: null };
  if (reply.type === 'unasked') {
    return {
      ...head,
      state: 'due',
      unasked: true,
      goneCount: resume.gone_count,
      delaySeconds: 1,
      error: null,
    };
  }
  if (reply.type === 'taken') return { ...head, state: 'done' };
  const { error } = reply;
  if (reply.type === 'refused') return { ...head, state: 'failed', error };
  const goneCount = reply.gone ? resume.gone_count + 1 : 0;
  if (goneCount >= goneTries || resume.age_seconds > maxAgeSeconds) {
    return { ...head, state: 'failed', goneCount, error };
  }
  const wholeSeconds = reply.gone
    ? firstGoneSeconds * 2 ** (goneCount - 1)
    : reply.status === 409
      ? soon(resume.attempts)
      : Math.min(maxDelaySeconds, 2 * 2 ** Math.min(20, resume.attempts - 1));
  return { ...head, state: 'due', goneCount, delaySeconds: wholeSeconds * (0.5 + random() / 2), error };
}

function soon(attempts: number): number {
  if (attempts > soonTries) return maxDelaySeconds;
  return Math.min(maxSoonSeconds, 2 ** (attempts - 1));
}
