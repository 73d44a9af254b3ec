import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import type { ArchiveTask } from '../core/archive/task.ts';

/** Has a function called with a task, without waiting for its end; Lambda itself tries a failed one twice more. */
export function lambdaInvoker(): (functionName: string, task: ArchiveTask) => Promise<void> {
  const client = new LambdaClient();
  return async (functionName, task) => {
    await client.send(
      new InvokeCommand({
        FunctionName: functionName,
        InvocationType: 'Event',
        Payload: new TextEncoder().encode(JSON.stringify(task)),
      }),
    );
  };
}
