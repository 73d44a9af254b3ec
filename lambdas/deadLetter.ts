import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { takeDeadDeliveries } from '../core/deliveries/dead-letters.ts';
import { takeDeadLetters } from '../core/research/dead-letters.ts';
import { readStamps, stampsAttribute } from '../core/research/queue.ts';
import { deps } from './deps.ts';

/** Dead-letter queues → backlog, or `dead_letters`. One invocation is of one queue. */
export async function handler(event: SQSEvent): Promise<SQSBatchResponse> {
  const messages = event.Records.map((record) => ({
    messageId: record.messageId,
    body: record.body,
    receiveCount: Number(record.attributes.ApproximateReceiveCount),
    stamps: readStamps(record.messageAttributes?.[stampsAttribute]?.stringValue),
  }));
  const isDelivery = event.Records[0]?.eventSourceARN.endsWith('-delivery-dead-letters');
  if (isDelivery) await takeDeadDeliveries(deps(), messages);
  else await takeDeadLetters(deps(), 'research', messages);
  return { batchItemFailures: [] };
}
