import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import type { DeliveryQueue } from '../deliveries/queue.ts';
import type { FieldError } from '../errors.ts';
import { closeBatches } from './batches.ts';
import { feed } from './feed.ts';
import type { Log, ResearchQueue } from './queue.ts';
import { namedIn, readResult, spoiled } from './result.ts';
import { freesPermit, type Outcome, settle } from './settle.ts';

export interface FoundAsk {
  askId: string;
  tenantId: string;
  providerId: string;
  /** One of them signed a callback: the present one and, for a lease after a change, the one that the ask was signed with. */
  secrets: string[];
}

/** The only statement before a callback is verified. @returns undefined for an unknown ask */
export async function findAsk(db: Db, askId: string): Promise<FoundAsk | undefined> {
  const rows = await db.query<{ user_id: string; provider_id: string; secret: string }>(sql('callback.find')`
    select user_id, provider_id, secret from aim.find_ask(${askId})`);
  const [row] = rows;
  const secrets = rows.map(({ secret }) => secret);
  return row && { askId, tenantId: row.user_id, providerId: row.provider_id, secrets };
}

export interface Applied {
  /** Results that moved their job, signs of life included. */
  applied: number;
  /** Repeated, or late beyond use: nothing changed. */
  stale: number;
  /** With the field that was wrong. One that names its job and attempt all the same has failed that job. */
  rejected: (FieldError & { index: number })[];
}

/**
 * Applies the results of a verified callback, whole or in parts. Repeats, and results of an older attempt, change
 * nothing, so a provider may send again whenever it is in doubt.
 * @param results at most the jobs of the ask; others are rejected by index
 */
export async function applyResults(
  deps: { db: Db; queue: ResearchQueue; deliveries: DeliveryQueue; log: Log },
  ask: FoundAsk,
  results: unknown[],
): Promise<Applied> {
  const attempts = await deps.db.query<{ id: string; job_id: string }>(sql('callback.attempts')`
    select id, job_id from research_attempts where ask_id = ${ask.askId}`);
  const jobOf = new Map(attempts.map((attempt) => [attempt.id, attempt.job_id]));
  const outcomes: Outcome[] = [];
  const unreadable: Outcome[] = [];
  const rejected: Applied['rejected'] = [];
  results.forEach((value, index) => {
    const reading = readResult(value, index);
    if ('error' in reading) {
      const job = namedIn(value);
      rejected.push({ index, ...reading.error });
      if (jobOf.get(job.attemptId) === job.jobId) unreadable.push(spoiled(job, reading.error));
    } else if (jobOf.get(reading.outcome.attemptId) !== reading.outcome.jobId) {
      const message = 'this job and attempt are not part of the ask; send back the ids that were sent';
      rejected.push({ index, path: `results.${index}`, code: 'not_asked', message });
    } else outcomes.push(reading.outcome);
  });

  // The readable ones first: where both name a job, what can be used counts.
  const settled = await settle(deps.db, [...outcomes, ...unreadable]);
  if (settled.length > 0) {
    const ended = settled.filter((job) => job.status === 'completed' || job.status === 'failed');
    await closeBatches(
      deps,
      ended.map((job) => job.batch_id),
    );
    // What was applied is committed: trouble with the queue costs a minute, until the sweep, and no answer.
    if (settled.some((job) => freesPermit(job) || job.status === 'queued'))
      await feed(deps, { providerIds: [ask.providerId] }).catch((error: Error) => {
        const { code } = error as { code?: unknown };
        deps.log.warn('research.callback_feed_failed', { askId: ask.askId, name: error.name, code });
      });
  }
  const readable = new Set(outcomes.map((outcome) => outcome.jobId));
  const applied = settled.filter((job) => readable.has(job.job_id)).length;
  return { applied, stale: outcomes.length - applied, rejected };
}
