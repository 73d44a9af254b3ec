import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { dispatch } from '../core/research/dispatch.ts';
import { parseMessage } from '../core/research/queue.ts';
import { deps } from './deps.ts';

/**
 * Research queue → providers. A message that cannot be read is reported as failed, so that it ends in the dead-letter
 * queue, raw; all others are done with whatever became of their jobs: the truth about those is in the database.
 */
export async function handler(event: SQSEvent, context: Context): Promise<SQSBatchResponse> {
  const failed: string[] = [];
  const jobIds: string[] = [];
  for (const record of event.Records) {
    const parsed = parseMessage(record.body);
    if (parsed.ok) jobIds.push(...parsed.message.jobIds);
    else {
      failed.push(record.messageId);
      deps().log.warn('research.message_unreadable', { messageId: record.messageId, reason: parsed.reason });
    }
  }
  if (jobIds.length > 0) {
    await dispatch(deps(), jobIds, { remainingMs: () => context.getRemainingTimeInMillis() });
  }
  return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) };
}
