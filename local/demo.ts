import { join, resolve } from 'node:path';
import { buildLambdas } from '../scripts/build.ts';
import { type Api, apiClient } from './api.ts';
import { archiveAndRestore } from './demo/archive.ts';
import { checkCsv, importCsv } from './demo/import.ts';
import { type BatchState, follow } from './demo/progress.ts';
import { report, whereToLook } from './demo/report.ts';
import { readFlags } from './flags.ts';
import { sampleProviderName, startSampleProvider } from './sample-provider.ts';
import { root } from './stack/paths.ts';
import { stopOnSignals } from './stack/shutdown.ts';
import { startStack } from './stack/stack.ts';

/**
 * `npm run demo`: from a list of companies to researched companies, into the archive and back,
 * on this machine. Exits with 1 when anything was lost, came twice, changed on the way, or did not end.
 */
const values = readFlags(
  { csv: { type: 'string' }, data: { type: 'string' } },
  'npm run demo [-- --csv FILE --data DIR]',
);
const from = process.env.INIT_CWD ?? process.cwd();
const csv = values.csv ? resolve(from, values.csv) : resolve(root, 'examples', 'companies.csv');
const home = values.data ? resolve(from, values.data) : resolve(root, '.aim');

const stopping: (() => Promise<void>)[] = [];
const stopAll = async () => {
  for (const stop of stopping.splice(0).reverse()) await stop();
};
const asked = stopOnSignals(stopAll);

try {
  process.exitCode = (await demo()) ? 0 : 1;
} catch (error) {
  // Of a stack that is being stopped.
  if (!asked.aborted) console.error(`\naim-for-leads: ${(error as Error).message}`);
  process.exitCode = 1;
}
if (!asked.aborted) {
  await stopAll();
  // Something that still holds the process open would be a leak; the demo does not wait for it.
  process.exit();
}

async function demo(): Promise<boolean> {
  await checkCsv(csv);
  await buildLambdas();
  const stack = await startStack({ home, say: console.log });
  stopping.push(stack.stop);
  const api = apiClient(stack.url, stack.apiKey);

  const campaign = await api<{ id: string; name: string }>('POST', '/v1/campaigns', {
    name: `Demo ${new Date().toISOString().slice(0, 19).replace('T', ' ')}`,
  });
  await tellOfEarlierRuns(api);
  const imported = await importCsv(api, campaign.id, {
    file: csv,
    log: join(home, 'log', 'import.log'),
  });

  // A larger list gets a larger provider, so that the demo of ten thousand companies ends within minutes, too.
  const concurrency = imported.companies > 1_000 ? 1_000 : 60;
  const provider = await startSampleProvider(api, home, { concurrency });
  stopping.push(provider.stop);
  const batch = await api<{ batchId: string; accepted: number }>(
    'POST',
    `/v1/campaigns/${campaign.id}/research`,
    {
      provider: sampleProviderName,
      all: true,
    },
  );
  console.log(
    `\nResearch of ${batch.accepted} companies by "${sampleProviderName}": 10 an ask, at most ${concurrency} at a time; it answers late, and not always.`,
  );
  const ended = await follow(api, batch.batchId, asked);
  const isWhole = await report({ stack, campaignId: campaign.id, batchId: batch.batchId, imported, ended });
  await provider.stop();
  const isBack = await archiveAndRestore(api, { databaseUrl: stack.databaseUrl, campaignId: campaign.id });
  whereToLook({ home, batchId: batch.batchId });
  return isWhole && isBack;
}

/** Their jobs are older and share the provider, so they come first. */
async function tellOfEarlierRuns(api: Api): Promise<void> {
  const { data } = await api<{ data: BatchState[] }>('GET', '/v1/batches?limit=100');
  const open = data.filter((batch) => batch.status === 'open');
  const jobs = open.reduce((sum, { counts }) => sum + counts.queued + counts.processing, 0);
  if (jobs > 0)
    console.log(`\nAn earlier run was cut off: its ${jobs} open jobs are finished as well, and come first.`);
}
