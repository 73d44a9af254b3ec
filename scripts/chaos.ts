import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateQueueCommand, GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs';
import { connect } from '../core/db/connect.ts';
import { applyMigrations } from '../core/db/migrate.ts';
import { enqueue, kickOff } from '../core/research/enqueue.ts';
import { buildApp } from '../lambdas/api/app.ts';
import { sqsQueue } from '../lambdas/sqs.ts';
import { readFlags, refuse } from '../local/flags.ts';
import { giveLogins } from '../local/stack/logins.ts';
import { root } from '../local/stack/paths.ts';
import { freePort } from '../local/stack/ports.ts';
import { startPostgres } from '../local/stack/postgres.ts';
import { startQueue } from '../local/stack/queue.ts';
import { sqsClient } from '../local/stack/queues.ts';
import { stopOnSignals } from '../local/stack/shutdown.ts';
import { holds, openJobs, prove } from '../test/chaos/soak/proof.ts';
import { faultyProvider } from '../test/chaos/soak/provider.ts';
import type { WorkerConfig } from '../test/chaos/soak/worker.ts';
import { aCampaign, aProvider, aTenant, someCompanies } from '../test/support/factories.ts';

/**
 * `npm run chaos [-- --minutes 3]`: the engine under kills. Workers die every few seconds, Postgres at least five
 * times, a tenth of the messages comes twice and none in order, a fifth of the asks goes wrong in every way there is.
 */
const usage = 'npm run chaos [-- --minutes 10 --jobs N]';
const values = readFlags({ minutes: { type: 'string', default: '10' }, jobs: { type: 'string' } }, usage);
const minutes = Number(values.minutes);
const jobs = Number(values.jobs ?? (minutes >= 10 ? 100_000 : 15_000));
if (!(minutes > 0)) refuse(`--minutes ${values.minutes}: give a number above 0`, usage);
const tenants = 4;
if (!(jobs > 0) || jobs % tenants !== 0)
  refuse(`--jobs ${values.jobs}: give a multiple of ${tenants}`, usage);
const workers = 3;
const postgresRestarts = 5;
// The kills end after six tenths of the time. What is left then ends in a moment; a busy machine is given longer.
const deadline = Date.now() + Math.max(minutes * 1.5, 12) * 60_000;

const home = mkdtempSync(join(tmpdir(), 'aim-chaos-'));
const running: ChildProcess[] = [];
// Undone in the reverse order, however we end.
const undo: (() => unknown)[] = [() => rmSync(home, { recursive: true, force: true })];
const undoAll = async () => {
  for (const child of running) child.kill('SIGKILL');
  for (const end of undo.splice(0).reverse()) await end();
};
const asked = stopOnSignals(undoAll);
process.on('uncaughtException', (error) => {
  // Of what is being taken down.
  if (asked.aborted) return;
  console.error(error);
  void undoAll().finally(() => process.exit(1));
});
const port = await freePort();
const start = () => startPostgres({ home, log: join(home, 'postgres.log'), port });
let postgres = await start();
undo.push(() => postgres.remove());
await applyMigrations(postgres.url);
const logins = await giveLogins(postgres.url);
const owner = connect(postgres.url, { max: 2 });
const queueServer = await startQueue({ folder: join(home, 'queue') });
const client = sqsClient(queueServer.endpoint);
const deadLetters = await aQueue(client, 'dead-letters', {});
const research = await aQueue(client, 'research', {
  VisibilityTimeout: '30',
  RedrivePolicy: JSON.stringify({ deadLetterTargetArn: deadLetters.arn, maxReceiveCount: 5 }),
});

const silent = { info: () => undefined, warn: () => undefined };
const apiDb = connect(logins.api, { max: 4 });
const queue = sqsQueue(client, research.url);
const deliveries = { send: async () => [] };
const app = buildApp({
  db: apiDb,
  queue,
  deliveries,
  log: silent,
  clock: Date.now,
  sleep,
  invokeArchive: async () => undefined,
  refusal: () => undefined,
});
const secrets = new Map<string, string>();
const provider = await faultyProvider({
  share: 0.2,
  secretOf: (path) => secrets.get(path) ?? '',
  deliver: async ({ askId, body, headers }) =>
    (await app.request(`/v1/callbacks/${askId}`, { method: 'POST', body, headers })).status,
  lateMs: 12_000,
});

const startedAt = Date.now();
const count = { killed: 0, restarts: 0, duplicates: 0 };
for (let n = 0; n < tenants; n++) await submit(n);
const config = {
  ...{ databaseUrl: logins.worker, endpoint: queueServer.endpoint, research, deadLetters },
  ...{ invocationMs: 14_000, leaseSeconds: 15, duplicates: 0.1 },
};
for (let n = 0; n < workers; n++) running[n] = spawnWorker({ ...config, does: 'dispatch' });
running[workers] = spawnWorker({ ...config, does: 'sweep' });

const calmAt = startedAt + minutes * 0.6 * 60_000;
let nextRestart = Date.now() + 5_000;
for (let open = jobs; open > 0 && Date.now() < deadline; ) {
  await sleep(2_500);
  const isCalm = Date.now() > calmAt && count.restarts >= postgresRestarts;
  if (!isCalm) killOne();
  // As time goes or, where the jobs are faster, as they go: all restarts come while there is work.
  const isDue =
    Date.now() > nextRestart || jobs - open > (jobs * (count.restarts + 1)) / (postgresRestarts + 1);
  if (count.restarts < postgresRestarts && isDue) {
    await postgres.crash();
    postgres = await start();
    count.restarts++;
    nextRestart = Date.now() + Math.min(60_000, (calmAt - startedAt) / (postgresRestarts + 1));
  }
  open = await openJobs(owner).catch(() => open);
  console.log(
    `${Math.round((Date.now() - startedAt) / 1000)} s: ${open} open, ${count.killed} kills, ${count.restarts} restarts`,
  );
}
// Late callbacks are still on their way, and a batch's end may be the sweep's to find.
for (let n = 0; n < 60 && provider.pending() > 0; n++) await sleep(500);
await sleep(5_000);

const proof = await prove(owner);
const seconds = Math.round((Date.now() - startedAt) / 1000);
console.log(
  JSON.stringify(
    {
      ...proof,
      workersKilled: count.killed,
      postgresRestarts: count.restarts,
      messagesRepeated: count.duplicates,
      asks: provider.asks(),
      faults: provider.faults(),
      seconds,
    },
    null,
    2,
  ),
);
console.log(
  `lost ${proof.lost}, duplicate ${proof.duplicate}, recovered ${proof.recovered} of ${proof.submitted} jobs`,
);
const passed = holds(proof) && count.restarts >= postgresRestarts && proof.recovered > 0;

for (const child of running) child.kill('SIGKILL');
await Promise.all([owner.close(), apiDb.close(), provider.close()]);
client.destroy();
await queueServer.stop();
await undoAll();
console.log(passed ? '1 passed, 0 failed' : '0 passed, 1 failed');
process.exit(passed ? 0 : 1);

async function aQueue(sqs: SQSClient, QueueName: string, Attributes: Record<string, string>) {
  const { QueueUrl = '' } = await sqs.send(new CreateQueueCommand({ QueueName, Attributes }));
  const got = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['QueueArn'] }));
  return { url: QueueUrl, arn: got.Attributes?.QueueArn ?? '' };
}

async function submit(n: number): Promise<void> {
  const tenantId = await aTenant(owner);
  const campaignId = await aCampaign(owner, tenantId);
  await someCompanies(owner, tenantId, campaignId, jobs / tenants);
  const path = `/${n}`;
  const limits = { timeoutMs: 1_500, leaseSeconds: 6, maxRetries: 20, batchSize: 10, concurrency: 2_000 };
  const { secret, name } = await aProvider(owner, tenantId, { url: `${provider.url}${path}`, ...limits });
  secrets.set(path, secret);
  const db = apiDb.forTenant(tenantId);
  const request = {
    provider: name,
    kind: 'company',
    all: true,
    final: true,
    priority: 0,
    dryRun: false,
  } as const;
  const { batchId } = await enqueue(db, tenantId, campaignId, request);
  await kickOff({ db, queue, deliveries, log: silent }, batchId ?? '');
}

function spawnWorker(worker: WorkerConfig): ChildProcess {
  const file = join(root, 'test/chaos/soak/worker.ts');
  const child = spawn(process.execPath, ['--no-warnings', file, JSON.stringify(worker)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  child.on('message', (message) => {
    count.duplicates += (message as { duplicates: number }).duplicates;
  });
  return child;
}

/** Without a word, in the middle of whatever it does; another takes its place. The sweep is not spared. */
function killOne(): void {
  const n = Math.floor(Math.random() * running.length);
  running[n]?.kill('SIGKILL');
  running[n] = spawnWorker({ ...config, does: n === workers ? 'sweep' : 'dispatch' });
  count.killed++;
}
