import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { parseDelivery } from '../core/deliveries/queue.ts';
import { deliverResumes } from '../core/resumes/deliver.ts';
import { deps } from './deps.ts';

/**
 * Delivery queue → whoever waits. A message that cannot be read is reported as failed, so that it ends in the
 * dead-letter queue, raw; all others are done with whatever became of them: the truth is in the database.
 */
export async function handler(event: SQSEvent, context: Context): Promise<SQSBatchResponse> {
  const failed: string[] = [];
  const batchIds: string[] = [];
  for (const record of event.Records) {
    const parsed = parseDelivery(record.body);
    if (parsed.ok) batchIds.push(...parsed.message.batchIds);
    else {
      failed.push(record.messageId);
      deps().log.warn('deliveries.message_unreadable', {
        messageId: record.messageId,
        reason: parsed.reason,
      });
    }
  }
  if (batchIds.length > 0) {
    await deliverResumes(deps(), batchIds, { remainingMs: () => context.getRemainingTimeInMillis() });
  }
  return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) };
}
