import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
import { startCallingBack } from '../test/e2e/waiting.ts';
import {
  archiveAndRestore,
  byWebhook,
  credential,
  credentialId,
  dispatchAndWait,
  dispatchAndWaitTwice,
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
  ends.push(() => rmSync(stack.databaseFolder, { recursive: true, force: true }));
  ends.push(() => stack.stop());
  const provider = await startProvider();
  ends.push(() => provider.stop());
  const slow = await startCallingBack();
  ends.push(() => slow.stop());
  const proxy = await startCuttingProxy(stack.url);
  ends.push(() => proxy.stop());
  const n8n = await prepareN8n(program, home, await emptyDatabase(stack.databaseUrl, 'n8n'));
  ends.push(() => n8n.stop());

  const { campaignId, domains } = await seedCampaign(stack, 2_500);
  await call(stack, 'PUT', '/v1/providers/e2e', { kind: 'webhook', url: provider.url, batchSize: 100 });
  const { secret } = await call<{ secret: string }>(stack, 'PUT', '/v1/providers/e2e-slow', {
    kind: 'webhook',
    url: slow.providerUrl,
    batchSize: 2,
  });
  const write = (name: string, content: unknown) => {
    writeFileSync(join(home, name), JSON.stringify(content));
    return join(home, name);
  };
  const waitingFlow = (id: string, companies: string[]) =>
    workflow(id, dispatchAndWait(campaignId, 'e2e-slow', companies, slow.wokenUrl), byWebhook(id));
  const query = async <Row extends pg.QueryResultRow>(text: string): Promise<Row[]> => {
    const client = new pg.Client({ connectionString: stack.databaseUrl });
    await client.connect();
    return (await client.query<Row>(text).finally(() => client.end())).rows;
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
      workflow('archive', archiveAndRestore(campaignId)),
      workflow('research', [
        dispatchResearch(campaignId, 'e2e', domains.slice(0, 1_200)),
        listJobs(stack.url),
        getJob(),
      ]),
      waitingFlow('waits', domains.slice(0, 5)),
      waitingFlow('waits-for-nothing', ['nobody.example']),
      waitingFlow('waits-too-long', domains.slice(0, 2)),
      dispatchAndWaitTwice(
        'waits-twice',
        dispatchAndWait(campaignId, 'e2e-slow', domains.slice(5, 6), slow.wokenUrl),
      ),
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
    assert.deepEqual((await pick('searchProviders')).results.map(({ value }) => value).sort(), [
      'e2e',
      'e2e-slow',
    ]);
    assert.deepEqual((await pick('searchCampaigns', 'nothing of this name')).results, []);
  });

  /** Publishes a workflow and starts it, as a POST from outside does. */
  const start = async (id: string) => {
    const { versionId } = await n8n.rest<{ versionId: string }>('GET', `/rest/workflows/${id}`);
    await n8n.rest('POST', `/rest/workflows/${id}/activate`, { versionId });
    const post = () => fetch(`${n8n.url}/webhook/${id}`, { method: 'POST' }).then(({ ok }) => ok);
    assert.ok(await until(post, 20_000, 500), `the webhook of ${id} answers`);
  };
  const statusOf = async (workflowId: string) => {
    const filter = encodeURIComponent(JSON.stringify({ workflowId }));
    const { results } = await n8n.rest<{ results: { status: string }[] }>(
      'GET',
      `/rest/executions?filter=${filter}`,
    );
    return results.map(({ status }) => status).join();
  };
  /** @returns what the workflow went on with, and when */
  const wokenWithin = async (ms: number) => {
    assert.ok(await until(() => slow.woken.length > 0, ms, 5), 'the execution went on');
    const [first] = slow.woken.splice(0);
    assert.ok(first);
    return first;
  };

  await check('Wait for Completion sleeps until the last callback, and goes on with one item', async () => {
    await start('waits');
    assert.ok(await until(() => slow.asks.length === 3, 30_000));
    assert.ok(await until(async () => (await statusOf('waits')) === 'waiting', 20_000, 200));
    const calledBackAt = await slow.callBack(secret);
    const { at, item } = await wokenWithin(30_000);
    say(`       resumed ${Math.round(at - calledBackAt)} ms after the answer to the last callback`);
    const { type, status, timedOut, items, counts: jobs, total } = item;
    assert.deepEqual(
      { type, status, timedOut, items, total },
      { type: 'batch.ended', status: 'completed', timedOut: false, items: 1, total: 5 },
    );
    assert.equal((jobs as { completed: number }).completed, 5);
    assert.ok(await until(async () => (await statusOf('waits')) === 'success', 20_000, 200));
    const batch = await call<{ resume: object }>(stack, 'GET', `/v1/batches/${item.batchId}`);
    assert.deepEqual(batch.resume, { state: 'done', attempts: 1, lastError: null });
  });

  await check('a dispatch with nothing to do does not sleep for ever', async () => {
    const startedAt = performance.now();
    await start('waits-for-nothing');
    const { at, item } = await wokenWithin(30_000);
    const path = `/v1/batches/${item.batchId}`;
    const { resume } = await call<{ resume: { attempts: number } }>(stack, 'GET', path);
    say(`       went on ${Math.round(at - startedAt)} ms after its start, at try ${resume.attempts}`);
    assert.deepEqual([item.type, item.total, item.timedOut], ['batch.ended', 0, false]);
  });

  await check('in a loop, a repeat of the resume before wakes nothing', async () => {
    await start('waits-twice');
    const isAsleep = async () => slow.asks.length === 1 && (await statusOf('waits-twice')) === 'waiting';
    assert.ok(await until(isAsleep, 30_000, 200));
    const [batch] = await query<{ id: string; resume_url: string }>(
      "select id, resume_url from research_batches where resume_state = 'waiting'",
    );
    assert.ok(batch);
    await slow.callBack(secret);
    assert.equal((await wokenWithin(30_000)).item.batchId, batch.id);
    assert.ok(await until(isAsleep, 30_000, 200));
    const body = JSON.stringify({ type: 'batch.ended', batchId: batch.id });
    const headers = { 'content-type': 'application/json' };
    const repeat = await fetch(batch.resume_url, { method: 'POST', headers, body });
    assert.deepEqual([repeat.status, await repeat.json()], [200, { resumed: false }]);
    assert.equal(await statusOf('waits-twice'), 'waiting');
    await slow.callBack(secret);
    const { item } = await wokenWithin(30_000);
    assert.notEqual(item.batchId, batch.id);
    assert.deepEqual([item.type, item.total], ['batch.ended', 1]);
    assert.ok(await until(async () => (await statusOf('waits-twice')) === 'success', 20_000, 200));
  });

  await check('a wait that reaches its limit goes on with an item that says so', async () => {
    await start('waits-too-long');
    assert.ok(await until(async () => (await statusOf('waits-too-long')) === 'waiting', 30_000, 200));
    // An hour later, and the next minute.
    await query(
      "update research_batches set resume_by = now() - interval '1 second' where resume_state = 'waiting'",
    );
    await fetch(`${stack.lambdaEndpoint}/2015-03-31/functions/sweep/invocations`, { method: 'POST' });
    const { item } = await wokenWithin(30_000);
    assert.deepEqual([item.type, item.status, item.timedOut], ['batch.open', 'open', true]);
  });

  await check(
    'Archive → Archive, Get Many Contacts, Export and Restore: all contacts, there and back',
    async () => {
      const printed = await n8n.cli('execute', '--id=archive', '--rawOutput');
      const [archived] = outputItems(printed, 'Archive');
      assert.deepEqual([archived?.state, archived?.timedOut], ['archived', false]);
      const contacts = outputItems(printed, 'Archived contacts');
      assert.equal(new Set(contacts.map(({ email }) => email)).size, 2_500);
      assert.equal(outputItems(printed, 'Export').length, 1);
      const [restored] = outputItems(printed, 'Restore');
      assert.equal(restored?.timedOut, false);
      const campaign = await call<{ archived: boolean; contactsCount: number }>(
        stack,
        'GET',
        `/v1/campaigns/${campaignId}`,
      );
      assert.deepEqual([campaign.archived, campaign.contactsCount], [false, 2_500]);
    },
  );

  await check('no log of the service holds the URL of an execution', async () => {
    const folder = join(home, 'stack', 'log');
    const logs = readdirSync(folder).filter((name) => name !== 'postgres.log');
    assert.ok(logs.includes('deliver.log'));
    for (const name of logs) {
      assert.doesNotMatch(readFileSync(join(folder, name), 'utf8'), /webhook-waiting|signature=/, name);
    }
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
