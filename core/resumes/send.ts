import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import type { DeliveryMessage, DeliveryQueue } from '../deliveries/queue.ts';
import type { Log, OutgoingMessage } from '../research/queue.ts';

const idsPerMessage = 100;
const rowsPerChunk = 1_000;
const maxDelaySeconds = 900;

/** A message that did not move its resume so long after it should have is taken for lost. */
export const feedGraceSeconds = 60;

export interface SentResume {
  id: string;
  user_id: string;
  /** Not before so many seconds from now; 900 at most. */
  delay_seconds?: number;
}

/**
 * Puts resumes on the delivery queue, those of a tenant and a delay together. Trouble with the queue is logged and
 * not thrown: the end of the batch is committed, and the sweep sends what did not go out.
 */
export async function sendResumes(
  { deliveries, log }: { deliveries: DeliveryQueue; log: Log },
  resumes: SentResume[],
): Promise<void> {
  if (resumes.length === 0) return;
  const groups = new Map<string, SentResume[]>();
  for (const resume of resumes) {
    const key = `${resume.user_id} ${delayOf(resume)}`;
    groups.set(key, [...(groups.get(key) ?? []), resume]);
  }
  const messages: OutgoingMessage<DeliveryMessage>[] = [];
  for (const group of groups.values()) {
    for (let from = 0; from < group.length; from += idsPerMessage) {
      const some = group.slice(from, from + idsPerMessage);
      const [first] = some;
      if (!first) continue;
      messages.push({
        body: { v: 1, type: 'resume', batchIds: some.map(({ id }) => id) },
        delaySeconds: delayOf(first),
        groupId: first.user_id,
      });
    }
  }
  try {
    const refused = await deliveries.send(messages);
    if (refused.length > 0) log.warn('resumes.refused', { messages: refused.length });
  } catch (error) {
    const { name, code } = error as { name?: string; code?: unknown };
    log.warn('resumes.send_failed', { messages: messages.length, name, code });
  }
}

function delayOf({ delay_seconds = 0 }: SentResume): number {
  return Math.min(maxDelaySeconds, Math.max(0, Math.ceil(delay_seconds)));
}

/**
 * The sweep's part: makes waits due that reached their limit, and sends due resumes whose message is not under way,
 * because it got lost, was never sent, or would have had to wait longer than the queue can.
 * @returns how many were sent
 */
export async function sendDueResumes(
  deps: { db: Db; deliveries: DeliveryQueue; log: Log },
  { hasTime }: { hasTime: () => boolean },
): Promise<number> {
  let sent = 0;
  for (let rows = rowsPerChunk; rows >= rowsPerChunk && hasTime(); ) rows = await endWaits(deps.db);
  for (let rows = rowsPerChunk; rows >= rowsPerChunk && hasTime(); sent += rows) {
    // Committed before they are sent: a crash in between costs the grace, and no resume.
    const due = await deps.db.query<SentResume>(sql('resumes.feed')`
      with lost as (
        select id from research_batches
        where resume_state = 'due' and resume_feed_at <= now()
        order by resume_feed_at, id limit ${rowsPerChunk} for update skip locked
      )
      update research_batches b
      set resume_feed_at = greatest(b.resume_at, now()) + make_interval(secs => ${5 * feedGraceSeconds})
      from lost where b.id = lost.id
      returning b.id, b.user_id, extract(epoch from greatest(b.resume_at - now(), '0'))::float8 as delay_seconds`);
    await sendResumes(deps, due);
    rows = due.length;
  }
  return sent;
}

/** Whoever waited for long enough is resumed, and told that the batch is still open. */
async function endWaits(db: Db): Promise<number> {
  const rows = await db.query(sql('resumes.end_waits')`
    with over as (
      select id from research_batches
      where resume_state = 'waiting' and resume_by < now()
      order by resume_by, id limit ${rowsPerChunk} for update skip locked
    )
    update research_batches b set resume_state = 'due', resume_at = now(), resume_feed_at = now()
    from over where b.id = over.id returning b.id`);
  return rows.length;
}
