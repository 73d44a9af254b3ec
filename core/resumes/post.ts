import type { Dispatcher } from 'undici';
import { post } from '../http/post.ts';
import { readFailure } from '../research/answer.ts';
import type { JobCounts } from '../research/counts.ts';
import type { ClaimedResume } from './claim.ts';

/** The whole exchange, from the name's look-up on. */
export const exchangeMs = 10_000;
/** What n8n says of itself is shorter; anybody's longer answer is not read on. */
const maxAnswerBytes = 4_096;

/** `error` holds a code and why, and nothing of the URL, the body or the headers. */
export type Reply =
  | { type: 'taken' }
  | { type: 'unasked' }
  /** gone: who waited is not there any more, as far as the answer can be believed. */
  | { type: 'failed'; status?: number; gone?: boolean; error: string }
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
    const { status, text = '' } = await post(http, {
      url: resume.url,
      headers: {
        'content-type': 'application/json',
        'user-agent': 'aim-for-leads',
        // The same at each try, so that a receiver can tell a repeat.
        'webhook-id': idOf(resume),
      },
      body: JSON.stringify(bodyOf(resume, counts)),
      timeoutMs: exchangeMs,
      maxBytes: maxAnswerBytes,
      reads: (status) => status < 300 || status === 404,
    });
    // While it migrates its database n8n answers so whatever it is asked, and drops it.
    if (status < 300 && text.startsWith('n8n is starting up'))
      return { type: 'failed', status, error: 'n8n_starting: n8n is starting up; it took nothing' };
    if (status >= 200 && status < 300) return { type: 'taken' };
    const gone = status === 410 || (status === 404 && isUnknownExecution(text));
    return { type: 'failed', status, gone, error: `http_${status}: ${meaningOf(status, gone)}` };
  } catch (error) {
    const reading = readFailure(error);
    if (!('errorCode' in reading)) throw error;
    const said = `${reading.errorCode}: ${reading.errorMessage.replace('the provider', 'the URL')}`;
    return { type: reading.type === 'permanent' ? 'refused' : 'failed', error: said };
  }
}

/** Of one wait, at each try: who waits for the same batch again, after his limit, is asked under another. */
function idOf({ id, wait }: ClaimedResume): string {
  return wait === null ? id : `${id}-${wait}`;
}

/** n8n's own words. Any other 404 may be a proxy's while n8n is away, or n8n's before it knows its routes. */
function isUnknownExecution(text: string): boolean {
  try {
    const answer: unknown = JSON.parse(text);
    const message = (answer as { message?: unknown } | null)?.message;
    return typeof message === 'string' && /^The execution ".*" does not exist/.test(message);
  } catch {
    return false;
  }
}

function meaningOf(status: number, gone: boolean): string {
  if (status === 409) return 'the execution is not asleep: it is running still, or it has ended';
  if (gone) return 'there is no such execution; it may have been deleted';
  if (status === 404)
    return 'the URL is not known there right now; n8n, or what is in front of it, may be starting';
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
