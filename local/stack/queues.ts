import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import type { QueueDefinition } from './template.ts';

export interface LocalQueue {
  url: string;
  arn: string;
}

export const localCredentials = {
  AWS_REGION: 'eu-central-1',
  AWS_ACCESS_KEY_ID: 'local',
  AWS_SECRET_ACCESS_KEY: 'local',
};

export function sqsClient(endpoint: string): SQSClient {
  return new SQSClient({
    endpoint,
    region: localCredentials.AWS_REGION,
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  });
}

/** Makes the queues of the template, dead-letter queues first, or gives existing ones today's attributes. */
export async function createQueues(
  client: SQSClient,
  definitions: QueueDefinition[],
): Promise<Map<string, LocalQueue>> {
  const made = new Map<string, LocalQueue>();
  const deadLettersFirst = [...definitions].sort((a, b) => Number(!!a.deadLetters) - Number(!!b.deadLetters));
  for (const { resource, name, attributes, deadLetters } of deadLettersFirst) {
    const target = deadLetters && made.get(deadLetters.resource);
    if (deadLetters && !target)
      throw new Error(`serverless.yml: ${resource} redrives to ${deadLetters.resource}, which is no queue`);
    const Attributes = {
      ...attributes,
      ...(target && {
        RedrivePolicy: JSON.stringify({
          deadLetterTargetArn: target.arn,
          maxReceiveCount: deadLetters.maxReceiveCount,
        }),
      }),
    };
    const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: name }));
    if (!QueueUrl) throw new Error(`the queue ${name} could not be made`);
    await client.send(new SetQueueAttributesCommand({ QueueUrl, Attributes }));
    const got = await client.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['QueueArn'] }));
    made.set(resource, { url: QueueUrl, arn: got.Attributes?.QueueArn ?? '' });
  }
  return made;
}
