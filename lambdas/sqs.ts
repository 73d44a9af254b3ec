import { SendMessageBatchCommand, type SQSClient } from '@aws-sdk/client-sqs';
import type { OutgoingMessage, ResearchQueue } from '../core/research/queue.ts';

const messagesPerCall = 10;
const tries = 3;

/** The research queue over SQS: ten messages a call, entries that the queue refused are sent again. */
export function sqsQueue(client: SQSClient, queueUrl: string): ResearchQueue {
  async function sendTen(messages: OutgoingMessage[]): Promise<OutgoingMessage[]> {
    let left = messages;
    for (let attempt = 1; attempt <= tries && left.length > 0; attempt++) {
      const sent = await client.send(
        new SendMessageBatchCommand({
          QueueUrl: queueUrl,
          Entries: left.map((message, index) => ({
            Id: String(index),
            MessageBody: JSON.stringify(message.body),
            DelaySeconds: message.delaySeconds,
            MessageGroupId: message.groupId,
          })),
        }),
      );
      const failed = new Set((sent.Failed ?? []).map((entry) => entry.Id));
      left = left.filter((_, index) => failed.has(String(index)));
    }
    return left;
  }

  return {
    async send(messages) {
      const refused: OutgoingMessage[] = [];
      for (let from = 0; from < messages.length; from += messagesPerCall) {
        refused.push(...(await sendTen(messages.slice(from, from + messagesPerCall))));
      }
      return refused;
    },
  };
}
