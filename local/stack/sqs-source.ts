import { setTimeout } from 'node:timers/promises';
import {
  DeleteMessageBatchCommand,
  type Message,
  ReceiveMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import type { SqsSource } from './template.ts';

const waitSeconds = 20;
const graceMs = 8_000;

export interface Poller {
  stop(): Promise<void>;
}

/**
 * An SQS event source mapping: receives, invokes, and deletes what succeeded. What failed stays and comes again after
 * the queue's visibility timeout, or goes to the dead-letter queue, as on AWS.
 */
export function pollQueue(options: {
  client: SQSClient;
  queueUrl: string;
  queueArn: string;
  source: SqsSource;
  invoke: (event: { Records: unknown[] }) => Promise<unknown>;
  onFailure: (error: Error, messages: number) => void;
}): Poller {
  const { client, queueUrl: QueueUrl, source } = options;
  const aborter = new AbortController();
  const running = new Set<Promise<void>>();

  async function receive(max: number, seconds: number): Promise<Message[]> {
    const { Messages = [] } = await client.send(
      new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: Math.min(10, max),
        WaitTimeSeconds: seconds,
        MessageSystemAttributeNames: ['All'],
        MessageAttributeNames: ['All'],
      }),
      { abortSignal: aborter.signal },
    );
    return Messages;
  }

  async function gather(): Promise<Message[]> {
    const messages = await receive(source.batchSize, waitSeconds);
    const until = Date.now() + source.windowSeconds * 1000;
    while (messages.length > 0 && messages.length < source.batchSize && Date.now() < until) {
      messages.push(...(await receive(source.batchSize - messages.length, 1)));
    }
    return messages;
  }

  async function handle(messages: Message[]): Promise<void> {
    const event = { Records: messages.map((message) => toRecord(message, options.queueArn)) };
    try {
      const failed = failuresOf(await options.invoke(event), messages, source.partialResponses);
      await deleteAll(messages.filter((message) => !failed.has(message.MessageId ?? '')));
    } catch (error) {
      options.onFailure(error as Error, messages.length);
    }
  }

  async function deleteAll(messages: Message[]): Promise<void> {
    for (let from = 0; from < messages.length; from += 10) {
      await client.send(
        new DeleteMessageBatchCommand({
          QueueUrl,
          Entries: messages.slice(from, from + 10).map((message, index) => ({
            Id: String(index),
            ReceiptHandle: message.ReceiptHandle,
          })),
        }),
      );
    }
  }

  async function loop(): Promise<void> {
    while (!aborter.signal.aborted) {
      if (running.size >= source.concurrency) {
        await Promise.race(running);
        continue;
      }
      try {
        const messages = await gather();
        if (messages.length === 0) continue;
        const work = handle(messages).finally(() => running.delete(work));
        running.add(work);
      } catch (error) {
        if (aborter.signal.aborted) return;
        options.onFailure(error as Error, 0);
        await setTimeout(1_000);
      }
    }
  }

  const looping = loop();
  return {
    async stop() {
      aborter.abort();
      await looping;
      // What does not end in time is cut off, as by a crash: its messages come again.
      await Promise.race([Promise.all(running), setTimeout(graceMs, undefined, { ref: false })]);
    },
  };
}

/** @returns the ids to keep. An unusable answer, or one that names a message nobody sent, fails the whole batch. */
function failuresOf(result: unknown, messages: Message[], partialResponses: boolean): Set<string> {
  if (!partialResponses || result === null || result === undefined) return new Set();
  if (typeof result !== 'object') throw new Error('malformed partial batch response');
  const failures = (result as { batchItemFailures?: unknown }).batchItemFailures;
  if (failures === undefined || failures === null) return new Set();
  const known = new Set(messages.map((message) => message.MessageId));
  const ids = Array.isArray(failures) ? failures.map((failure) => failure?.itemIdentifier) : [undefined];
  if (ids.some((id) => typeof id !== 'string' || !known.has(id)))
    throw new Error('malformed partial batch response');
  return new Set(ids);
}

function toRecord(message: Message, queueArn: string) {
  return {
    messageId: message.MessageId,
    receiptHandle: message.ReceiptHandle,
    body: message.Body,
    attributes: message.Attributes ?? {},
    messageAttributes: Object.fromEntries(
      Object.entries(message.MessageAttributes ?? {}).map(
        ([name, { DataType, StringValue, BinaryValue }]) => [
          name,
          {
            dataType: DataType,
            ...(StringValue !== undefined && { stringValue: StringValue }),
            ...(BinaryValue && { binaryValue: Buffer.from(BinaryValue).toString('base64') }),
          },
        ],
      ),
    ),
    md5OfBody: message.MD5OfBody,
    eventSource: 'aws:sqs',
    eventSourceARN: queueArn,
    awsRegion: queueArn.split(':')[3],
  };
}
