import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';

/** One execution environment: loads the bundle once, then runs one invocation at a time, as Lambda does. */
const { bundle, name, timeoutMs } = workerData as { bundle: string; name: string; timeoutMs: number };
const { handler } = createRequire(import.meta.url)(bundle) as {
  handler: (event: unknown, context: unknown) => Promise<unknown>;
};

parentPort?.on('message', async ({ id, event }: { id: string; event: unknown }) => {
  const endsAt = Date.now() + timeoutMs;
  const context = {
    awsRequestId: id,
    functionName: name,
    functionVersion: '$LATEST',
    invokedFunctionArn: `arn:aws:lambda:local:000000000000:function:${name}`,
    memoryLimitInMB: '512',
    logGroupName: name,
    logStreamName: 'local',
    callbackWaitsForEmptyEventLoop: false,
    getRemainingTimeInMillis: () => Math.max(0, endsAt - Date.now()),
  };
  try {
    parentPort?.postMessage({ id, result: (await handler(event, context)) ?? null });
  } catch (error) {
    const { name: errorType, message, stack } = error as Error;
    console.error(stack ?? String(error));
    parentPort?.postMessage({ id, error: { errorType, errorMessage: message } });
  }
});
