import type { Db } from '../db/connect.ts';
import { type DeadMessage, keep } from '../research/dead-letters.ts';
import type { Log } from '../research/queue.ts';
import { parseDelivery } from './queue.ts';

/**
 * Takes messages off the delivery queue's dead-letter queue: what cannot be read is kept raw. The others carry ids only
 * and are dropped: what they were to do is still due in the database, and the sweep sends it again.
 */
export async function takeDeadDeliveries(
  { db, log }: { db: Db; log: Log },
  messages: DeadMessage[],
): Promise<void> {
  const unreadable = messages.flatMap((message) => {
    const parsed = parseDelivery(message.body);
    return parsed.ok ? [] : [{ ...message, reason: parsed.reason }];
  });
  if (unreadable.length > 0) await keep(db, 'delivery', unreadable);
  log.warn('deliveries.dead_letters', { messages: messages.length, unreadable: unreadable.length });
}
