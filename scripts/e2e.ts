import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { onOrphaned } from '../local/stack/orphan.ts';
import { until } from '../local/stack/processes.ts';
import { startStack } from '../local/stack/stack.ts';
import { startCuttingProxy } from '../test/e2e/cutting-proxy.ts';
import { installN8n } from '../test/e2e/install.ts';
import { installPackage, prepareN8n } from '../test/e2e/n8n.ts';
import { call, seedCampaign, startProvider } from '../test/e2e/seed.ts';
import {
  credential,
  credentialId,
  dispatchResearch,
  getContacts,
  getJob,
  listJobs,
  workflow,
} from '../test/e2e/workflows.ts';
import { run } from './run.ts';

/** `npm run test:e2e`: the packed n8n package in a real n8n, against the real stack. */
const say = (line: string) => console.log(line);
const counts = { passed: 0, failed: 0 };

async function check(sentence: string, work: () => Promise<void>): Promise<void> {
  const startedAt = Date.now();
  try {
    await work();
    counts.passed++;
    say(`ok     ${sentence} (${((Date.now() - startedAt) / 1000).toFixed(1)} s)`);
  } catch (error) {
    counts.failed++;
    say(`FAILED ${sentence}\n       ${error instanceof Error ? (error.stack ?? error.message) : error}`);
  }
}

const program = await installN8n(say).catch((error: Error) => {
  // Not a finding about this project: said apart, so that nobody takes it for a pass or for a failure.
  say(`n8n cannot be installed here: ${error.message}`);
  process.exit(3);
});
if ((await run([join(import.meta.dirname, 'build.ts')])) !== 0) throw new Error('the build failed');

const home = mkdtempSync(join(tmpdir(), 'aim-e2e-'));
const ends: (() => unknown)[] = [];
const stop = async () => {
  for (const end of ends.splice(0).reverse()) await end();
  rmSync(home, { recursive: true, force: true });
};
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void stop().then(() => process.exit(1)));
onOrphaned(() => void stop().then(() => process.exit(1)));

try {
  const stack = await startStack({ home: join(home, 'stack') });
  ends.push(() => stack.stop());
  const provider = await startProvider();
  ends.push(() => provider.stop());
  const proxy = await startCuttingProxy(stack.url);
  ends.push(() => proxy.stop());
  const n8n = await prepareN8n(program, home, await emptyDatabase(stack.databaseUrl, 'n8n'));
  ends.push(() => n8n.stop());

  const { campaignId, domains } = await seedCampaign(stack, 2_500);
  await call(stack, 'PUT', '/v1/providers/e2e', { kind: 'webhook', url: provider.url, batchSize: 100 });
  const write = (name: string, content: unknown) => {
    writeFileSync(join(home, name), JSON.stringify(content));
    return join(home, name);
  };
  const outputOf = async (workflowId: string, node: string) => {
    const printed = await n8n.cli('execute', `--id=${workflowId}`, '--rawOutput');
    return outputItems(printed, node);
  };

  await check('the package holds only its compiled nodes and credentials', async () => {
    const paths = await installPackage(home);
    assert.ok(paths.includes('dist/nodes/AimForLeads/AimForLeads.node.js'), paths.join('\n'));
    const others = paths.filter(
      (path) => !/^(dist\/(nodes|credentials)\/.*|package\.json|README\.md|LICENSE(\.md)?)$/.test(path),
    );
    assert.deepEqual(others, []);
  });

  await check('n8n takes a credential and the workflows', async () => {
    const key = write('credentials.json', [credential(proxy.url, stack.apiKey)]);
    await n8n.cli('import:credentials', `--input=${key}`);
    const flows = write('workflows.json', [
      workflow('contacts', [getContacts(campaignId)]),
      workflow('research', [
        dispatchResearch(campaignId, 'e2e', domains.slice(0, 1_200)),
        listJobs(stack.url),
        getJob(),
      ]),
    ]);
    await n8n.cli('import:workflow', `--input=${flows}`);
  });

  await check(
    'Contact → Get Many gives all 2,500 contacts of three pages, each once, though answers get lost',
    async () => {
      const contacts = await outputOf('contacts', 'Get contacts');
      assert.equal(contacts.length, 2_500);
      assert.equal(new Set(contacts.map(({ email }) => email)).size, 2_500);
      assert.deepEqual(proxy.cut, ['GET /v1/contacts', 'GET /v1/contacts']);
    },
  );

  await check(
    'Research → Dispatch makes one batch of 1,200 companies, though answers get lost; Job → Get reads a job',
    async () => {
      const printed = await n8n.cli('execute', '--id=research', '--rawOutput');
      const [dispatched] = outputItems(printed, 'Dispatch research');
      assert.equal(dispatched?.accepted, 1_200);
      assert.deepEqual(dispatched?.rejected, []);
      const [job] = outputItems(printed, 'Get job');
      assert.equal(job?.batchId, dispatched?.batchId);
      const batch = () =>
        call<{ status: string; total: number; counts: { completed: number } }>(
          stack,
          'GET',
          `/v1/batches/${dispatched?.batchId}`,
        );
      assert.ok(await until(async () => (await batch()).status === 'completed', 60_000, 500));
      assert.equal((await batch()).total, 1_200);
      assert.equal((await batch()).counts.completed, 1_200);
      const { data } = await call<{ data: unknown[] }>(stack, 'GET', '/v1/batches');
      assert.equal(data.length, 1);
      assert.equal(proxy.cut.filter((line) => line.startsWith('POST')).length, 2);
    },
  );

  await n8n.start();
  const test = (baseUrl: string, apiKey: string) =>
    n8n.rest<{ status: string; message: string }>('POST', '/rest/credentials/test', {
      credentials: credential(baseUrl, apiKey),
    });

  await check('the credential test says OK for the right key and address', async () => {
    assert.equal((await test(stack.url, stack.apiKey)).status, 'OK');
    assert.equal((await test(`${stack.url}/`, stack.apiKey)).status, 'OK');
  });

  await check('the credential test fails for a wrong key', async () => {
    assert.equal((await test(stack.url, `${stack.apiKey}x`)).status, 'Error');
  });

  await check('the credential test fails for another server that answers, n8n itself', async () => {
    const { status, message } = await test(n8n.url, stack.apiKey);
    assert.equal(status, 'Error');
    assert.match(message, /not an Aim for Leads API/);
  });

  const pick = (methodName: string, filter?: string) =>
    n8n.rest<{ results: { name: string; value: string }[] }>(
      'POST',
      '/rest/dynamic-node-parameters/resource-locator-results',
      {
        nodeTypeAndVersion: { name: 'n8n-nodes-aim-for-leads.aimForLeads', version: 1 },
        path: 'parameters.campaign',
        methodName,
        currentNodeParameters: {},
        credentials: { aimForLeadsApi: { id: credentialId, name: 'Aim for Leads' } },
        ...(filter && { filter }),
      },
    );

  await check('the pickers list campaigns and providers', async () => {
    assert.deepEqual((await pick('searchCampaigns', 'end TO')).results, [
      { name: 'End to end', value: campaignId },
    ]);
    assert.deepEqual((await pick('searchProviders')).results, [{ name: 'e2e', value: 'e2e' }]);
    assert.deepEqual((await pick('searchCampaigns', 'nothing of this name')).results, []);
  });
} catch (error) {
  counts.failed++;
  say(`FAILED ${error instanceof Error ? error.stack : error}`);
} finally {
  await stop();
}
say(`${counts.passed} passed, ${counts.failed} failed`);
process.exit(counts.failed === 0 ? 0 : 1);

async function emptyDatabase(serverUrl: string, name: string): Promise<string> {
  const client = new pg.Client({ connectionString: serverUrl });
  await client.connect();
  await client.query(`create database ${name}`).finally(() => client.end());
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/** The rows a node gave, from what `n8n execute --rawOutput` prints. */
function outputItems(printed: string, node: string): Record<string, unknown>[] {
  const run = JSON.parse(printed.slice(printed.indexOf('{'))) as {
    data: {
      resultData: {
        error?: { message: string };
        runData: Record<string, { data?: { main: { json: Record<string, unknown> }[][] } }[]>;
      };
    };
  };
  const { error, runData } = run.data.resultData;
  if (error) throw new Error(error.message);
  return (runData[node]?.[0]?.data?.main[0] ?? []).map(({ json }) => json);
}
