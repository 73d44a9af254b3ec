import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Api } from './api.ts';
import { root } from './stack/paths.ts';

export const sampleProviderName = 'sample-provider';
const defaultConcurrency = 60;

/**
 * Starts the sample provider as a process of its own and registers it, under the same name and secret at every start,
 * so that the jobs of an earlier run go on.
 * @param concurrency companies at the provider at once; what it was at the last start when absent
 */
export async function startSampleProvider(
  api: Api,
  home: string,
  settings: { concurrency?: number; instant?: boolean } = {},
): Promise<{ url: string; stop(): Promise<void> }> {
  const file = join(home, 'sample-provider-secret');
  const secret = existsSync(file)
    ? readFileSync(file, 'utf8').trim()
    : `whsec_${randomBytes(24).toString('base64')}`;
  writeFileSync(file, secret, { mode: 0o600 });
  const child = spawn(
    process.execPath,
    [join(root, 'local', 'provider.ts'), ...(settings.instant ? ['--instant'] : [])],
    { stdio: ['ignore', 'inherit', 'pipe', 'ipc'], env: { ...process.env, PROVIDER_SECRET: secret } },
  );
  if (child.stderr) keepComplaints(child.stderr, join(home, 'log', 'sample-provider.log'));
  const url = await ready(child);
  await api('PUT', `/v1/providers/${sampleProviderName}`, {
    kind: 'webhook',
    url,
    secret,
    batchSize: 10,
    concurrency: settings.concurrency ?? (await lastConcurrency(api)),
    timeoutMs: 4_000,
    leaseSeconds: 30,
    maxRetries: 3,
  });
  return {
    url,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    },
  };
}

/** All of them in the log, and a few with their count on the terminal: many would bury what else is there. */
export function keepComplaints(complaints: Readable, file: string): void {
  mkdirSync(dirname(file), { recursive: true });
  const log = createWriteStream(file, { flags: 'a' });
  let lines = 0;
  createInterface(complaints).on('line', (line) => {
    log.write(`${line}\n`);
    lines++;
    // The 1st, 10th, 100th, …
    if (Number.isInteger(Math.log10(lines)))
      console.error(`the sample provider: ${line} (${lines} in ${file})`);
  });
}

interface Provider {
  name: string;
  concurrency: number | null;
}

async function lastConcurrency(api: Api): Promise<number> {
  const { data } = await api<{ data: Provider[] }>('GET', '/v1/providers?limit=5000');
  return data.find((provider) => provider.name === sampleProviderName)?.concurrency ?? defaultConcurrency;
}

async function ready(child: ChildProcess): Promise<string> {
  const [message] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => Promise.reject(new Error('the sample provider did not start'))),
  ])) as [{ url: string }];
  return message.url;
}
