import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import type { InvokeArchive } from '../core/archive/task.ts';
import { requestHandler } from './aws.ts';

/** Has a function called with a task, without waiting for its end; Lambda itself tries a failed one twice more. */
export function lambdaInvoker(functionName: string): InvokeArchive {
  const client = new LambdaClient({ requestHandler });
  return (task) =>
    client.send(
      new InvokeCommand({
        FunctionName: functionName,
        InvocationType: 'Event',
        Payload: new TextEncoder().encode(JSON.stringify(task)),
      }),
    );
}
