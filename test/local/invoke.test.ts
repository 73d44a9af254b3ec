import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { serveInvoke } from '../../local/stack/http.ts';
import { until } from '../../local/stack/processes.ts';

const tries: unknown[] = [];
const functions = new Map([
  [
    'fails-twice',
    async (event: unknown) => {
      if (tries.push(event) < 3) throw new Error('not yet');
    },
  ],
]);

test('an asynchronous invocation that fails is tried twice more, as Lambda does', async () => {
  const server = await serveInvoke(functions, { retriesAfterMs: [5, 5] });
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  const client = new LambdaClient({ endpoint: server.url, region: 'eu-central-1', credentials });
  const { StatusCode } = await client.send(
    new InvokeCommand({
      FunctionName: 'fails-twice',
      InvocationType: 'Event',
      Payload: new TextEncoder().encode('{"v":1}'),
    }),
  );
  expect(StatusCode).toBe(202);
  await until(async () => tries.length === 3, 5_000);
  expect(tries).toEqual([{ v: 1 }, { v: 1 }, { v: 1 }]);
  await server.stop();
});
