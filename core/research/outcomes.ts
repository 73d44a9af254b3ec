import type { Answer } from './ask.ts';
import type { Ask } from './asks.ts';
import { failureOf } from './health.ts';
import { namedIn, readResult, spoiled } from './result.ts';
import type { Outcome } from './settle.ts';

const probeDelayMs = 60_000;
/** It is the pause of its provider that holds a job back: once that is ended, nothing else does for long. */
const maxThrottledMs = 60_000;

/** One outcome for every job of the ask; results for jobs that were not asked are dropped here. */
export function outcomesOf(ask: Ask, answered: Answer): Outcome[] {
  const answer = ask.provider.circuit === 'closed' ? answered : ofProbe(answered);
  const took = {
    latencyMs: Math.round(answer.latencyMs),
    ...(answer.httpStatus === undefined ? {} : { httpStatus: answer.httpStatus }),
  };
  const outcomes = new Map<string, Outcome>();
  const base = (job: Ask['jobs'][number]) => ({ jobId: job.id, attemptId: job.attempt_id, ...took });

  if (answer.type === 'answered') {
    const attemptOf = new Map(ask.jobs.map((job) => [job.id, job.attempt_id]));
    answer.results.forEach((value, index) => {
      const reading = readResult(value, index);
      const jobId = 'outcome' in reading ? reading.outcome.jobId : namedIn(value).jobId;
      const attemptId = attemptOf.get(jobId);
      // The first one counts, unless it only says that the job is being worked on.
      const earlier = outcomes.get(jobId);
      if (attemptId === undefined || (earlier && earlier.type !== 'renewed')) return;
      outcomes.set(
        jobId,
        'outcome' in reading
          ? { ...reading.outcome, ...took, attemptId }
          : { ...spoiled({ jobId, attemptId }, reading.error), ...took },
      );
    });
  }
  for (const job of ask.jobs) {
    if (outcomes.has(job.id)) continue;
    switch (answer.type) {
      case 'answered':
      case 'accepted':
        outcomes.set(job.id, { ...base(job), type: 'accepted' });
        break;
      case 'throttled':
        outcomes.set(job.id, {
          ...base(job),
          ...pick(answer),
          type: 'throttled',
          delayMs: Math.min(answer.pauseMs, maxThrottledMs),
        });
        break;
      case 'transient':
        outcomes.set(job.id, { ...base(job), ...pick(answer), type: 'retry' });
        break;
      case 'permanent':
        outcomes.set(job.id, { ...base(job), ...pick(answer), type: 'failed' });
        break;
    }
  }
  return [...outcomes.values()];
}

/** While a circuit is open nothing is burned: what stops the probe is not the job's fault. It goes to the back. */
function ofProbe(answer: Answer): Answer {
  if (failureOf(answer) === undefined || answer.type === 'answered' || answer.type === 'accepted')
    return answer;
  return { ...answer, type: 'throttled', pauseMs: probeDelayMs };
}

function pick({ errorCode, errorMessage }: { errorCode: string; errorMessage: string }) {
  return { errorCode, errorMessage };
}
