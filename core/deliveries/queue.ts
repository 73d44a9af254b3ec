import { z } from 'zod';
import type { Queue } from '../research/queue.ts';

/** What travels on the delivery queue: ids only, told apart by `type`. The truth about them is in the database. */
export const DeliveryMessage = z.discriminatedUnion('type', [
  z.strictObject({
    v: z.literal(1),
    type: z.literal('resume'),
    batchIds: z.array(z.uuid()).min(1).max(100),
  }),
]);
export type DeliveryMessage = z.infer<typeof DeliveryMessage>;

export type DeliveryQueue = Queue<DeliveryMessage>;

/** @returns the message, or why it is none */
export function parseDelivery(
  body: string,
): { ok: true; message: DeliveryMessage } | { ok: false; reason: string } {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return { ok: false, reason: 'the body is not JSON' };
  }
  const parsed = DeliveryMessage.safeParse(json);
  if (parsed.success) return { ok: true, message: parsed.data };
  const issue = parsed.error.issues[0];
  return { ok: false, reason: `${issue?.path.join('.') || 'message'}: ${issue?.message ?? 'not valid'}` };
}
