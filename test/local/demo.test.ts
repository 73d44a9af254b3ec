import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { archiveWork } from '../../core/archive/on-demand.ts';
import type { Api as HttpApi } from '../../local/api.ts';
import { archiveAndRestore } from '../../local/demo/archive.ts';
import { importCsv } from '../../local/demo/import.ts';
import { tableOf } from '../../local/demo/report.ts';
import { aClient, anApi } from '../api/client.ts';
import { archiver, aVariedCampaign } from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aProvider } from '../support/factories.ts';

let db: TestDatabase;
let said: string[];
beforeEach(async () => {
  db = await testDatabase();
  said = [];
  jest.spyOn(console, 'log').mockImplementation((line: string) => void said.push(line));
});
afterEach(async () => {
  jest.restoreAllMocks();
  await db.close();
});

/** The demo's last part over the API, each task done at once. */
async function demo() {
  const api = anApi(db);
  const client = await aClient(db, api);
  const { id } = await aProvider(db, client.tenantId);
  const campaignId = await aVariedCampaign(db, client.tenantId, id, 12);
  const log = { info: () => undefined, warn: () => undefined };
  const http = (async (method, path, body) => {
    const reply = await client.send(method, path, body);
    if (reply.status >= 300) throw new Error(JSON.stringify(reply.body));
    for (const task of api.tasks.splice(0)) {
      const deps = { ...archiver(db.asWorker), log, invokeSelf: async () => undefined };
      await archiveWork(deps, task, { remainingMs: () => 60_000 });
    }
    return reply.body;
  }) as HttpApi;
  return archiveAndRestore(http, { databaseUrl: db.url, campaignId });
}

test('the demo says how many rows went into the archive and came back as they were', async () => {
  expect(await demo()).toBe(true);
  expect(said.join('\n')).toMatch(/archived {2}\d+ rows in .* rows\/s: 12 companies, 36 contacts/);
  expect(said.join('\n')).toContain('no row lost, every column identical');
});

const onRestore = (what: string) => `
  create function sabotage() returns trigger language plpgsql as $$ begin ${what}; return null; end $$;
  create trigger sabotage after update on campaigns for each row when (old.archived and not new.archived)
    execute function sabotage()`;

test.each([
  ['a changed column', "update contacts set title = 'x' where campaign_id = new.id", 'NOT AS BEFORE'],
  ['a lost row', 'delete from contacts where campaign_id = new.id and email is null', 'ROWS ARE MISSING'],
])('the demo finds %s', async (_, what, verdict) => {
  await db.query({ statement: 'sabotage', text: onRestore(what), values: [] });
  expect(await demo()).toBe(false);
  expect(said.join('\n')).toContain(verdict);
});

test.each([[80], [100], [120], [200]])("the demo's table fits a terminal of %i columns", (columns) => {
  const sample = {
    name: 'A company with quite a long name, GmbH & Co. KG',
    domain: 'with-quite-a-long-name.example',
    status: 'completed',
    tries: 12,
    found: 'Sample data: '.repeat(20),
    people: 3,
  };
  const lines = tableOf([sample, { ...sample, domain: null, found: null }], columns).split('\n');
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
  expect(lines.join('\n')).toContain('completed │ 12    │ 3      │ Sample data');
});

test('the demo names every row that is not taken: the first on the terminal, all in a file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'aim-import-'));
  const [file, log] = [join(folder, 'list.csv'), join(folder, 'log', 'import.log')];
  writeFileSync(file, `name,domain\n${'Acme,acme.example\n'.repeat(21)}`);

  const taken = (async () => ({ results: [{ index: 0, status: 'created' }] })) as HttpApi;
  const count = await importCsv(taken, 'a-campaign', { file, log });

  expect(count).toEqual({ rows: 21, companies: 1, doubles: 20, rejected: 0 });
  expect(said.at(-1)).toBe(`  … and 12 more; all of them in ${log}`);
  expect(readFileSync(log, 'utf8').trim().split('\n')).toHaveLength(20);
  rmSync(folder, { recursive: true });
});
