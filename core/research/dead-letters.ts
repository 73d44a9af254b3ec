import { createHash } from 'node:crypto';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import type { DeliveryQueue } from '../deliveries/queue.ts';
import { closeBatches } from './batches.ts';
import { type Log, parseMessage } from './queue.ts';

export interface DeadMessage {
  messageId: string;
  body: string;
  receiveCount: number;
}

/** After this many attempts that ended without an outcome a job is given up. */
export const maxCrashes = 5;

/**
 * Takes messages off the dead-letter queue: jobs that are still on the conveyor go back to the backlog with a backoff
 * and run alone next, or fail once they crashed too often; what cannot be read is kept raw. Committed before the
 * message is deleted, and a repeat finds its jobs off the conveyor and its letter kept already.
 */
export async function takeDeadLetters(
  deps: { db: Db; deliveries: DeliveryQueue; log: Log },
  queue: string,
  messages: DeadMessage[],
): Promise<void> {
  const { db, log } = deps;
  const jobIds: string[] = [];
  const unreadable: (DeadMessage & { reason: string })[] = [];
  for (const message of messages) {
    const parsed = parseMessage(message.body);
    if (parsed.ok) jobIds.push(...parsed.message.jobIds);
    else unreadable.push({ ...message, reason: parsed.reason });
  }
  if (unreadable.length > 0) await keep(db, queue, unreadable);
  const moved = jobIds.length > 0 ? await giveBack(db, [...new Set(jobIds)]) : [];
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
      messages.map((message) => ({
        message_id: message.messageId,
        body: Buffer.from(message.body, 'utf8').toString('base64'),
        fingerprint: createHash('sha256').update(`${queue} ${message.reason}`).digest('hex').slice(0, 16),
        reason: message.reason,
        receive_count: message.receiveCount,
      })),
    )}::jsonb) as letter (message_id text, body text, fingerprint text, reason text, receive_count int)
    on conflict (queue, message_id) do nothing`);
}

function giveBack(db: Db, jobIds: string[]): Promise<{ batch_id: string; status: string }[]> {
  return db.query(sql('dead_letters.give_back')`
    with stuck as (
      select id, crash_count + 1 >= ${maxCrashes} as hopeless, fed_until from research_jobs
      where id = any(${jobIds}::uuid[]) and status = 'queued'
      order by id for update
    )
    update research_jobs j
    set status = case when hopeless then 'failed' else 'queued' end,
      crash_count = j.crash_count + 1,
      error_code = 'crashed',
      error_message = 'the attempts to run this job ended without an outcome',
      run_at = now() + make_interval(secs => random() * least(3600, 2 * 2 ^ j.crash_count)),
      fed_until = null,
      finished_at = case when hopeless then now() end,
      updated_at = now()
    from stuck where j.id = stuck.id and stuck.fed_until is not null
    returning j.batch_id, j.status`);
}
