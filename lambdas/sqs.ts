import { SendMessageBatchCommand, type SQSClient } from '@aws-sdk/client-sqs';
import type { OutgoingMessage, Queue, ResearchMessage } from '../core/research/queue.ts';

const asText = (attributes: Record<string, string>) =>
  Object.fromEntries(
    Object.entries(attributes).map(([name, StringValue]) => [name, { DataType: 'String', StringValue }]),
  );

const messagesPerCall = 10;
const tries = 3;

/** A queue over SQS: ten messages a call, entries that the queue refused are sent again. */
export function sqsQueue<Body = ResearchMessage>(client: SQSClient, queueUrl: string): Queue<Body> {
  async function sendTen(messages: OutgoingMessage<Body>[]): Promise<OutgoingMessage<Body>[]> {
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
            ...(message.attributes && { MessageAttributes: asText(message.attributes) }),
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
      const refused: OutgoingMessage<Body>[] = [];
      for (let from = 0; from < messages.length; from += messagesPerCall) {
        refused.push(...(await sendTen(messages.slice(from, from + messagesPerCall))));
      }
      return refused;
    },
  };
}
