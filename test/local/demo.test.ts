import { archiveWork } from '../../core/archive/on-demand.ts';
import type { Api as HttpApi } from '../../local/api.ts';
import { archiveAndRestore } from '../../local/demo/archive.ts';
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
