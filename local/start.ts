import { resolve } from 'node:path';
import { buildLambdas } from '../scripts/build.ts';
import { apiClient } from './api.ts';
import { readFlags, refuse } from './flags.ts';
import { sampleProviderName, startSampleProvider } from './sample-provider.ts';
import { root } from './stack/paths.ts';
import { stopOnSignals } from './stack/shutdown.ts';
import { startStack } from './stack/stack.ts';

/** `npm start`: keeps the stack up until Ctrl-C. */
const usage = 'npm start [-- --port 8787 --host 127.0.0.1 --data DIR]';
const values = readFlags(
  {
    port: { type: 'string', default: '8787' },
    host: { type: 'string', default: '127.0.0.1' },
    data: { type: 'string' },
  },
  usage,
);
const home = values.data
  ? resolve(process.env.INIT_CWD ?? process.cwd(), values.data)
  : resolve(root, '.aim');
const port = Number(values.port);
if (!Number.isInteger(port) || port < 1 || port > 65_535) {
  refuse(`--port ${values.port}: give a number from 1 to 65535`, usage);
}

const stopping: (() => Promise<void>)[] = [];
const stopAll = async () => {
  for (const stop of stopping.splice(0).reverse()) await stop();
};
stopOnSignals(async () => {
  await stopAll();
  console.log('\nstopped');
});

try {
  await buildLambdas();
  const stack = await startStack({ home, port, host: values.host, say: console.log });
  stopping.push(stack.stop);
  const api = apiClient(stack.url, stack.apiKey);
  const provider = await startSampleProvider(api, home);
  stopping.push(provider.stop);
  const places = stack.databaseFolder.startsWith(home) ? [home] : [home, stack.databaseFolder];
  console.log(`
The stack is up. Data, logs and the key lie in ${places.join(' and ')}

  URL      ${stack.url}
  API key  ${stack.apiKey}

Try it:

  curl -s ${stack.url}/v1/me -H 'authorization: Bearer ${stack.apiKey}'
  curl -s ${stack.url}/v1/campaigns -H 'authorization: Bearer ${stack.apiKey}' -H 'content-type: application/json' -d '{"name":"My first campaign"}'
  curl -s '${stack.url}/v1/campaigns?limit=5' -H 'authorization: Bearer ${stack.apiKey}'

The provider "${sampleProviderName}" researches for you, with made-up findings. Ctrl-C stops everything.`);
} catch (error) {
  await stopAll();
  console.error(`aim-for-leads: ${(error as Error).message}`);
  process.exit(1);
}
