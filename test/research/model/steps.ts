import fc from 'fast-check';
import { sql } from '../../../core/db/sql.ts';
import { applyResults, findAsk } from '../../../core/research/callback.ts';
import { takeDeadLetters } from '../../../core/research/dead-letters.ts';
import { expireLeases, unfeedLost } from '../../../core/research/leases.ts';
import { type Outcome, settle } from '../../../core/research/settle.ts';
import { type Asked, concurrency, isOpen, type Job, type Model, maxCrashes, maxRetries } from './world.ts';

const outcomes = ['completed', 'failed', 'retry', 'throttled', 'released', 'accepted', 'renewed'] as const;

export const step = fc.record({
  does: fc.oneof(
    { weight: 5, arbitrary: fc.constant('claim' as const) },
    { weight: 5, arbitrary: fc.constant('settle' as const) },
    { weight: 4, arbitrary: fc.constant('callback' as const) },
    { weight: 3, arbitrary: fc.constant('feed' as const) },
    { weight: 2, arbitrary: fc.constantFrom('expire' as const, 'lose' as const, 'deadLetter' as const) },
    { weight: 1, arbitrary: fc.constantFrom('cancel' as const, 'seal' as const, 'end' as const) },
  ),
  /** Which of the four jobs, as bits. */
  jobs: fc.integer({ min: 1, max: 15 }),
  /** Counted from the last ask back: late answers are as likely as prompt ones. */
  ask: fc.nat({ max: 6 }),
  outcome: fc.constantFrom(...outcomes),
});
export type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** Does one step to the database and to the model. @throws when the step's own answer is not what the model says */
export async function take(model: Model, { does, jobs: mask, ask, outcome }: Step): Promise<void> {
  const { db, deps } = model;
  const picked = model.pick(mask);
  const ids = picked.map((job) => job.id);
  switch (does) {
    case 'claim': {
      const free = concurrency - model.where('processing').length;
      const wanted = picked.filter((job) => job.status === 'queued');
      await model.makeDue();
      // A message may come twice, and name a job twice.
      const made = await model.claim([...ids, ...ids.slice(0, 1)]);
      const taken = made.flatMap((each) => each.jobs).map((job) => job.id);
      expect(taken).toHaveLength(Math.max(0, Math.min(free, wanted.length)));
      expect(wanted.map((job) => job.id)).toEqual(expect.arrayContaining(taken));
      return;
    }
    case 'feed': {
      const room = concurrency - model.where('processing').length;
      const sent = await model.feed();
      expect(sent.length).toBeLessThanOrEqual(Math.max(0, room));
      for (const id of sent) {
        expect(model.jobs.get(id)).toMatchObject({ status: 'queued', fed: false });
        (model.jobs.get(id) as Job).fed = true;
      }
      return;
    }
    case 'settle': {
      const asked = model.asks.at(-1 - ask);
      if (!asked) return;
      const moved = await settle(
        db,
        asked.jobs.map((job): Outcome => ({ ...job, type: outcome })),
      );
      expect(moved.map((job) => job.job_id).sort()).toEqual(applyToModel(model, asked, outcome).sort());
      return;
    }
    case 'callback': {
      const asked = model.asks.at(-1 - ask);
      if (!asked) return;
      const found = await findAsk(db, asked.id);
      if (!found) throw new Error('an ask that was made is not found');
      const part = { ...asked, jobs: asked.jobs.filter((_, n) => (mask & (1 << n)) !== 0) };
      const type =
        outcome === 'failed' || outcome === 'retry' || outcome === 'renewed' ? outcome : 'completed';
      const results = part.jobs.map((job) => resultOf(job, type));
      const answer = await applyResults(deps, found, results);
      // A callback feeds; what it fed is read back, because its own part of the model is the feed's.
      const applied = applyToModel(model, part, type);
      expect(answer).toMatchObject({
        applied: applied.length,
        stale: part.jobs.length - applied.length,
        rejected: [],
      });
      await readFed(model);
      return;
    }
    case 'expire': {
      await db.query(sql('model.past')`
        update research_jobs set lease_until = now() - interval '1 s'
        where id = any(${ids}::uuid[]) and status = 'processing'`);
      await expireLeases(db);
      for (const job of picked.filter(({ status }) => status === 'processing')) {
        const hopeless = job.accepted ? job.retries >= maxRetries : job.crashes + 1 >= maxCrashes;
        if (job.accepted && !hopeless) job.retries++;
        if (!job.accepted) job.crashes++;
        Object.assign(job, { status: hopeless ? 'failed' : 'queued', accepted: false });
      }
      return;
    }
    case 'lose': {
      await db.query(sql('model.lost')`
        update research_jobs set fed_until = now() - interval '1 s' where id = any(${ids}::uuid[]) and fed_until is not null`);
      await unfeedLost(db);
      for (const job of picked) job.fed = false;
      return;
    }
    case 'deadLetter': {
      const body = JSON.stringify({ v: 1, jobIds: ids });
      // Of the message that its jobs are under, or of an older one.
      const isOld = ask % 2 === 1;
      const stamps = isOld ? { first: 1, last: 2 } : { first: 1, last: Number.MAX_SAFE_INTEGER };
      await takeDeadLetters(deps, 'research', [
        { messageId: crypto.randomUUID(), body, receiveCount: 6, stamps },
      ]);
      if (isOld) return;
      for (const job of picked.filter(({ status, fed }) => status === 'queued' && fed)) {
        job.crashes++;
        const hopeless = job.crashes >= maxCrashes && job.attempt !== null;
        Object.assign(job, { status: hopeless ? 'failed' : 'queued', fed: false });
      }
      return;
    }
    case 'cancel': {
      const [first] = picked;
      if (!first || !isOpen(first) || mask % 3 > 0) return;
      await db.query(sql('model.cancel')`
        update research_jobs set status = 'cancelled', fed_until = null, lease_until = null, accepted_at = null,
          error_code = null, error_message = null, finished_at = now(), updated_at = now()
        where id = ${first.id} and status in ('queued', 'processing')`);
      Object.assign(first, { status: 'cancelled', fed: false, accepted: false });
      return;
    }
    case 'seal':
      return model.seal();
    case 'end':
      await model.endBatch();
  }
}

function resultOf(job: Asked['jobs'][number], type: 'completed' | 'failed' | 'retry' | 'renewed') {
  if (type === 'renewed') return { ...job, status: 'processing' };
  if (type === 'completed') return { ...job, status: 'completed', research: { summary: job.attemptId } };
  return { ...job, status: 'failed', error: { code: 'no', message: 'no', retryable: type === 'retry' } };
}

async function readFed(model: Model): Promise<void> {
  model.sent.splice(0);
  const rows = await model.db.query<{ id: string; fed: boolean }>(sql('model.fed')`
    select id, fed_until is not null as fed from research_jobs where batch_id = ${model.batchId}`);
  for (const { id, fed } of rows) (model.jobs.get(id) as Job).fed = fed;
}

/** The fence: only the latest attempt, while the job is in work, or, with a result or a no for good, waits for its retry. */
function applyToModel(model: Model, asked: Asked, type: Outcome['type']): string[] {
  return asked.jobs.flatMap(({ jobId, attemptId }) => {
    const job = model.jobs.get(jobId) as Job;
    const isFinal = type === 'completed' || type === 'failed';
    const fits = job.status === 'processing' || (job.status === 'queued' && isFinal);
    if (job.attempt !== attemptId || !fits) return [];
    job.fed = false;
    if (type !== 'throttled' && type !== 'released') job.crashes = 0;
    if (type === 'accepted' || type === 'renewed') job.accepted = true;
    else {
      job.accepted = false;
      const spent = type === 'retry' && job.retries >= maxRetries;
      if (type === 'retry' && !spent) job.retries++;
      if (type === 'throttled') job.throttles++;
      if (type === 'completed') job.results++;
      job.status = type === 'completed' ? 'completed' : type === 'failed' || spent ? 'failed' : 'queued';
    }
    return [jobId];
  });
}
