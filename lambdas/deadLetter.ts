import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { takeDeadLetters } from '../core/research/dead-letters.ts';
import { deps } from './deps.ts';

/** Research dead-letter queue → backlog, or `dead_letters`. */
export async function handler(event: SQSEvent): Promise<SQSBatchResponse> {
  await takeDeadLetters(
    deps(),
    'research',
    event.Records.map((record) => ({
      messageId: record.messageId,
      body: record.body,
      receiveCount: Number(record.attributes.ApproximateReceiveCount),
    })),
  );
  return { batchItemFailures: [] };
}
