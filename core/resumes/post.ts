import type { Dispatcher } from 'undici';
import { post } from '../http/post.ts';
import { readFailure } from '../research/answer.ts';
import type { JobCounts } from '../research/counts.ts';
import type { ClaimedResume } from './claim.ts';

/** The whole exchange, from the name's look-up on. */
export const exchangeMs = 10_000;

/** `error` holds a code and why, and nothing of the URL, the body or the headers. */
export type Reply =
  | { type: 'taken' }
  | { type: 'unasked' }
  | { type: 'failed'; status?: number; error: string }
  | { type: 'refused'; error: string };

/**
 * POSTs the end of a batch to whoever waits for it. Never throws: every failure is a reply. The URL is sent as it was
 * given, for its query is a signature; no redirect is followed.
 */
export async function postResume(
  { http }: { http: Dispatcher },
  resume: ClaimedResume,
  counts: JobCounts | undefined,
): Promise<Reply> {
  try {
    const { status } = await post(http, {
      url: resume.url,
      headers: {
        'content-type': 'application/json',
        'user-agent': 'aim-for-leads',
        // The same at each try, so that a receiver can tell a repeat.
        'webhook-id': resume.id,
      },
      body: JSON.stringify(bodyOf(resume, counts)),
      timeoutMs: exchangeMs,
    });
    if (status >= 200 && status < 300) return { type: 'taken' };
    return { type: 'failed', status, error: `http_${status}: ${meaningOf(status)}` };
  } catch (error) {
    const reading = readFailure(error);
    if (!('errorCode' in reading)) throw error;
    const said = `${reading.errorCode}: ${reading.errorMessage.replace('the provider', 'the URL')}`;
    return { type: reading.type === 'permanent' ? 'refused' : 'failed', error: said };
  }
}

function meaningOf(status: number): string {
  if (status === 409) return 'the execution is not asleep: it is running still, or it has ended';
  if (status === 404 || status === 410) return 'there is no such execution; it may have been deleted';
  if (status >= 300 && status < 400) return 'redirects are not followed';
  return `the URL answered ${status}`;
}

/** A few hundred bytes, whatever the batch holds: results are read by page. */
export function bodyOf(resume: ClaimedResume, counts: JobCounts | undefined): object {
  const { queued = 0, processing = 0, completed = 0, failed = 0, cancelled = 0 } = counts ?? {};
  return {
    // A wait that reached its limit first is told so.
    type: resume.status === 'open' ? 'batch.open' : 'batch.ended',
    batchId: resume.id,
    campaignId: resume.campaign_id,
    kind: resume.kind,
    status: resume.status,
    total: resume.total,
    counts: { queued, processing, completed, failed, cancelled },
    endedAt: resume.finished_at,
  };
}
