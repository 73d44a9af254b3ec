import { createHash } from 'node:crypto';
import { excerpt } from '../contract/text.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import type { DeliveryQueue } from '../deliveries/queue.ts';
import { closeBatches } from './batches.ts';
import { microseconds } from './feed.ts';
import { type Log, parseMessage, type Stamps } from './queue.ts';

export interface DeadMessage {
  messageId: string;
  body: string;
  receiveCount: number;
  /** Of its jobs, when it was sent; a message of an earlier release has none. */
  stamps?: Stamps | undefined;
}

/** After this many attempts that ended without an outcome a job is given up. */
export const maxCrashes = 5;

/**
 * Takes messages off the dead-letter queue: jobs that are still on the conveyor under that very message go back to the
 * backlog with a backoff and run alone next, or fail once they crashed too often, unless nobody ever tried them. Those
 * that the sweep has taken back, or fed anew, are none of its business any more. What cannot be read is kept raw.
 * Committed before the message is deleted, and a repeat finds its jobs off the conveyor and its letter kept already.
 */
export async function takeDeadLetters(
  deps: { db: Db; deliveries: DeliveryQueue; log: Log },
  queue: string,
  messages: DeadMessage[],
): Promise<void> {
  const { db, log } = deps;
  const stuck: Stuck[] = [];
  const unreadable: (DeadMessage & { reason: string })[] = [];
  for (const message of messages) {
    const parsed = parseMessage(message.body);
    const { stamps } = message;
    if (parsed.ok && stamps) stuck.push(...parsed.message.jobIds.map((id) => ({ id, ...stamps })));
    else if (!parsed.ok) unreadable.push({ ...message, reason: parsed.reason });
  }
  if (unreadable.length > 0) await keep(db, queue, unreadable);
  const moved = stuck.length > 0 ? await giveBack(db, stuck) : [];
  await closeBatches(
    deps,
    moved.filter((job) => job.status === 'failed').map((job) => job.batch_id),
  );
  log.warn('research.dead_letters', {
    messages: messages.length,
    unreadable: unreadable.length,
    requeued: moved.filter((job) => job.status === 'queued').length,
    failed: moved.filter((job) => job.status === 'failed').length,
  });
}

const maxReasonLength = 500;

/** Keeps messages that cannot be read, as bytes, once each. */
export async function keep(
  db: Db,
  queue: string,
  messages: (DeadMessage & { reason: string })[],
): Promise<void> {
  await db.query(sql('dead_letters.keep')`
    insert into dead_letters (queue, message_id, body, fingerprint, error_code, reason, receive_count)
    select ${queue}, message_id, decode(body, 'base64'), fingerprint, 'unreadable_message', reason, receive_count
    from jsonb_to_recordset(${JSON.stringify(
      messages.map((message) => {
        // It may name a key of the message, whatever that is called.
        const reason = excerpt(message.reason, maxReasonLength);
        return {
          message_id: message.messageId,
          body: Buffer.from(message.body, 'utf8').toString('base64'),
          fingerprint: createHash('sha256').update(`${queue} ${reason}`).digest('hex').slice(0, 16),
          reason,
          receive_count: message.receiveCount,
        };
      }),
    )}::jsonb) as letter (message_id text, body text, fingerprint text, reason text, receive_count int)
    on conflict (queue, message_id) do nothing`);
}

/** A job as its message left it. */
type Stuck = { id: string } & Stamps;

function giveBack(db: Db, stuck: Stuck[]): Promise<{ batch_id: string; status: string }[]> {
  return db.query(sql('dead_letters.give_back')`
    with letter as (
      select id, first, last from jsonb_to_recordset(${JSON.stringify(stuck)}::jsonb) as l (
        id uuid, first bigint, last bigint)
    ), stuck as (
      select j.id, crash_count + 1 >= ${maxCrashes} and attempt_id is not null as hopeless, ${microseconds} as stamp
      from research_jobs j
      where j.id = any(${stuck.map(({ id }) => id)}::uuid[]) and status = 'queued'
      order by j.id for update
    )
    update research_jobs j
    set status = case when hopeless then 'failed' else 'queued' end,
      crash_count = j.crash_count + 1,
      error_code = 'crashed',
      error_message = 'the attempts to run this job ended without an outcome',
      run_at = now() + make_interval(secs => random() * least(3600, 2 * 2 ^ least(12, j.crash_count))),
      fed_until = null,
      finished_at = case when hopeless then now() end,
      updated_at = now()
    from stuck
    where j.id = stuck.id
      and exists (select from letter l where l.id = stuck.id and stuck.stamp between l.first and l.last)
    returning j.batch_id, j.status`);
}
