import pLimit from 'p-limit';
import type { Dispatcher } from 'undici';
import type { Db } from '../db/connect.ts';
import type { DeliveryQueue } from '../deliveries/queue.ts';
import { countJobs } from '../research/counts.ts';
import type { Log } from '../research/queue.ts';
import { type ClaimedResume, claimResumes } from './claim.ts';
import { outcomeOf } from './outcome.ts';
import { exchangeMs, postResume } from './post.ts';
import { sendResumes } from './send.ts';
import { type SettledResume, settleResumes } from './settle.ts';

/** Longer than the function that delivers may live (serverless.yml), so that nobody asks beside one that still does. */
export const resumeLeaseSeconds = 75;
const settleMarginMs = 3_000;

export interface DeliverDeps {
  db: Db;
  http: Dispatcher;
  deliveries: DeliveryQueue;
  log: Log;
  clock: () => number;
  random: () => number;
  concurrency: number;
}

/**
 * Resumes whoever waits for these batches: claim and commit, POST, settle, send again what is to be tried soon. Safe to
 * repeat and to lose at any point: a claim that died is claimed anew once its lease is over, and its URL may then be
 * asked twice.
 */
export async function deliverResumes(
  deps: DeliverDeps,
  batchIds: string[],
  { remainingMs }: { remainingMs: () => number },
): Promise<void> {
  const startedAt = deps.clock();
  const ids = [...new Set(batchIds)];
  const claimed = await claimResumes(deps.db, ids, { leaseSeconds: resumeLeaseSeconds });
  if (claimed.length === 0) return;
  const counts = await countJobs(
    deps.db,
    claimed.map(({ id }) => id),
  );
  const limit = pLimit(deps.concurrency);
  const settled = await Promise.all(
    claimed.map((resume) =>
      limit(async (): Promise<SettledResume> => {
        const fits = remainingMs() > exchangeMs + settleMarginMs;
        const reply = fits ? await postResume(deps, resume, counts.get(resume.id)) : unasked;
        return outcomeOf(resume, reply, deps.random);
      }),
    ),
  );
  await sendResumes(deps, await settleResumes(deps.db, settled));
  report(deps, claimed, settled, deps.clock() - startedAt);
}

const unasked = { type: 'unasked' } as const;

function report({ log }: { log: Log }, claimed: ClaimedResume[], settled: SettledResume[], ms: number): void {
  const count = (state: string) => settled.filter((resume) => resume.state === state).length;
  const lagSeconds = Math.max(...claimed.map(({ age_seconds }) => age_seconds));
  log.info('resumes.delivered', {
    claimed: claimed.length,
    done: count('done'),
    retried: count('due'),
    failed: count('failed'),
    lagMs: Math.round(lagSeconds * 1000),
    ms,
  });
  for (const { id, state, error } of settled) {
    if (state === 'failed') log.warn('resumes.failed', { batchId: id, error });
  }
}
