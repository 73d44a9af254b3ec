import { NodeApiError, NodeOperationError, sleep } from 'n8n-workflow';
import { archiveWork } from '../../core/archive/on-demand.ts';
import { sql } from '../../core/db/sql.ts';
import { AimForLeads } from '../../nodes/AimForLeads/AimForLeads.node';
import { type Api, aClient, anApi, type Client, type Json } from '../api/client.ts';
import { archiver, aVariedCampaign } from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aProvider, someCompanies } from '../support/factories.ts';
import { aFullCampaign } from '../support/full-campaign.ts';
import { context, type Given, runNode } from './context.ts';
import { served } from './served.ts';

jest.mock('n8n-workflow', () => ({ ...jest.requireActual('n8n-workflow'), sleep: jest.fn(async () => {}) }));

const t = sql('t');
let db: TestDatabase;
let api: Api;
let client: Client;
let at: Awaited<ReturnType<typeof served>>;
let providerId: string;
beforeAll(async () => {
  db = await testDatabase();
  api = anApi(db);
  client = await aClient(db, api);
  at = await served(api, client.key);
  providerId = (await aProvider(db, client.tenantId)).id;
});
beforeEach(() => {
  at.asked.length = 0;
  at.troubles.length = 0;
  // While the node sleeps, the archive function works.
  jest.mocked(sleep).mockReset().mockImplementation(work);
});
afterEach(() => jest.restoreAllMocks());
afterAll(async () => {
  await at.stop();
  await db.close();
});

async function work(): Promise<void> {
  const log = { info: () => undefined, warn: () => undefined };
  for (const task of api.tasks.splice(0)) {
    const deps = { ...archiver(db.asWorker), log, invokeSelf: async () => undefined };
    await archiveWork(deps, task, { remainingMs: () => 600_000 });
  }
}
const aCampaign = (companies = 3) => aVariedCampaign(db, client.tenantId, providerId, companies);
const anArchive = async (companies?: number) => {
  const id = await aCampaign(companies);
  await run({ operation: 'archive', campaign: id });
  await work();
  return id;
};
/** So many companies, each with a contact. */
async function manyRows(count: number): Promise<string> {
  const id = await client.campaign('Large');
  await someCompanies(db, client.tenantId, id, count);
  await db.query(t`insert into contacts (user_id, campaign_id, company_id, full_name)
    select user_id, campaign_id, id, 'Person of ' || name from companies where campaign_id = ${id}`);
  return id;
}
/** @returns the JSON of the node's output items */
async function run(parameters: Given['parameters'], given: Partial<Given> = {}): Promise<Json[]> {
  return (await output(parameters, given)).map(({ json }) => json);
}
const output = (parameters: Given['parameters'], given: Partial<Given> = {}) =>
  runNode(at, { parameters: { resource: 'archive', ...parameters }, ...given });
const wait = { waitUntilDone: true };

describe('Archive Campaign', () => {
  test('begins, and goes on with the state at once', async () => {
    const campaign = await aCampaign();
    expect(await run({ operation: 'archive', campaign })).toEqual([
      expect.objectContaining({ id: campaign, state: 'archiving' }),
    ]);
    expect(sleep).not.toHaveBeenCalled();
    await work();
    expect(await run({ operation: 'get', archive: campaign })).toMatchObject([{ state: 'archived' }]);
  });

  test('goes on once every row is in the archive when it is to wait', async () => {
    const campaign = await aCampaign();
    const items = await run({ operation: 'archive', campaign, ...wait });
    expect(items).toMatchObject([{ id: campaign, state: 'archived', timedOut: false }]);
    expect(sleep).toHaveBeenCalledTimes(1);
  });

  test('goes on at its limit, and says so', async () => {
    const campaign = await aCampaign();
    let now = Date.now();
    jest.spyOn(Date, 'now').mockImplementation(() => now);
    const slept: number[] = [];
    jest.mocked(sleep).mockImplementation(async (ms) => {
      slept.push(ms);
      now += ms;
    });
    const items = await run({ operation: 'archive', campaign, ...wait, waitMinutes: 2 });
    expect(items).toMatchObject([{ state: 'archiving', timedOut: true }]);
    expect(slept.reduce((sum, ms) => sum + ms)).toBe(120_000);
    expect([slept[0], Math.max(...slept)]).toEqual([500, 15_000]);
    await work();
  });

  test('a limit that is none is refused before anything is begun', async () => {
    const parameters = { operation: 'archive', campaign: await aCampaign(), ...wait, waitMinutes: 0 };
    await expect(run(parameters)).rejects.toThrow('Limit Wait To must be between 1 and 1440 minutes');
    expect(at.asked).toEqual([]);
  });

  test('one with open jobs is refused with their count, unless they are to be cancelled', async () => {
    const campaign = await aFullCampaign(db, client.tenantId, providerId, 2);
    const refused = run({ operation: 'archive', campaign });
    await expect(refused).rejects.toBeInstanceOf(NodeApiError);
    await expect(refused).rejects.toMatchObject({
      httpCode: '409',
      message: expect.stringContaining('2 open jobs'),
      description: expect.stringContaining('open_jobs'),
      context: { itemIndex: 0 },
    });
    expect(await run({ operation: 'archive', campaign, cancelOpenJobs: true, ...wait })).toMatchObject([
      { state: 'archived' },
    ]);
  });
});

describe('Restore Campaign', () => {
  test('goes on once the campaign is active again when it is to wait', async () => {
    const archive = await anArchive();
    const items = await run({ operation: 'restore', archive, ...wait });
    expect(items).toMatchObject([
      { id: archive, state: 'restored', archived: false, contactsCount: 9, timedOut: false },
    ]);
  });

  test('a retry after a lost answer, when all is done, gets the first answer and no error', async () => {
    const archive = await anArchive();
    at.asked.length = 0;
    at.troubles.push({ when: ({ method }) => method === 'POST', times: 1 });
    // The function works while the node waits for its second try.
    expect(await run({ operation: 'restore', archive })).toMatchObject([{ id: archive, state: 'restoring' }]);
    expect(at.asked).toEqual(Array(2).fill(`POST /v1/campaigns/${archive}/restore`));
    await work();
    expect((await client.get(`/v1/campaigns/${archive}`)).body.archived).toBe(false);
  });

  test('a damaged archive fails the item that waits, with the reason', async () => {
    const archive = await anArchive();
    await db.query(t`update archive_chunks set sha256 = sha256('x')
      where archive_id = ${archive} and table_name = 'contacts'`);
    const restore = run({ operation: 'restore', archive, ...wait });
    await expect(restore).rejects.toBeInstanceOf(NodeOperationError);
    await expect(restore).rejects.toMatchObject({
      message: expect.stringContaining('could not be restored'),
      description: expect.stringContaining('chunk 1 of contacts is not what was archived'),
      context: { itemIndex: 0 },
    });
  });
});

describe('reading', () => {
  test('archives come newest first, as many as asked for, and by their state', async () => {
    const [older, newer] = [await anArchive(), await anArchive()];
    expect((await run({ operation: 'getMany', limit: 2 })).map(({ id }) => id)).toEqual([newer, older]);
    expect(await run({ operation: 'getMany', returnAll: true, options: { state: 'restoring' } })).toEqual([]);
  });

  test.each(['contacts', 'companies'])(
    'the %s are those that were live, each once, over many pages',
    async (what) => {
      const id = await manyRows(1_200);
      const live = await client.walk(`/v1/${what}?campaignId=${id}&limit=1000&order=asc`);
      await run({ operation: 'archive', campaign: id, ...wait });
      at.asked.length = 0;
      const operation = what === 'contacts' ? 'getManyContacts' : 'getManyCompanies';
      const items = await output({ operation, archive: id, returnAll: true });
      expect(items.map(({ json }) => json)).toEqual(live);
      expect(items.every(({ pairedItem }) => (pairedItem as Json).item === 0)).toBe(true);
      expect(at.asked.length).toBeGreaterThan(1);
      expect(await run({ operation, archive: id, limit: 7 })).toHaveLength(7);
    },
  );

  test('an address is found in whatever case, a domain with all that has it', async () => {
    const archive = await anArchive();
    const found = await run({
      operation: 'search',
      by: 'email',
      email: ' 1@COMPANY-3.example ',
      returnAll: true,
    });
    expect(found).toContainEqual(
      expect.objectContaining({
        archiveId: archive,
        entity: 'contact',
        row: expect.objectContaining({ email: '1@company-3.example' }),
      }),
    );
    const hits = await run({
      operation: 'search',
      by: 'domain',
      domain: 'https://company-3.example/x',
      returnAll: true,
    });
    const own = hits.filter(({ archiveId }) => archiveId === archive).map(({ entity }) => entity);
    expect(own.toSorted()).toEqual(['company', 'contact', 'contact']);
    at.asked.length = 0;
    await expect(run({ operation: 'search', by: 'email', email: ' ' })).rejects.toThrow(
      'no email to search for',
    );
    expect(at.asked).toEqual([]);
  });

  test('what is not an ID never becomes part of an address; the others have their turn', async () => {
    const archive = await anArchive();
    at.asked.length = 0;
    const items = await output(
      { operation: 'get', archive: (item: number) => (item === 0 ? '../campaigns' : archive) },
      { items: 2, continueOnFail: true },
    );
    expect(items).toMatchObject([
      { json: { error: '"../campaigns" is not the ID of an archive' }, pairedItem: { item: 0 } },
      { json: { id: archive }, pairedItem: { item: 1 } },
    ]);
    expect(at.asked).toEqual([`GET /v1/archives/${archive}`]);
  });
});

describe('Export', () => {
  const text = (item: Json, field = 'data') => Buffer.from(item.binary[field].data, 'base64').toString();
  let archive: string;
  let ids: string[];
  beforeAll(async () => {
    // More than one part: a part has 5,000 rows at most.
    const id = await manyRows(5_200);
    await db.query(
      t`update contacts set attributes = jsonb_build_object('text', repeat('ä"', 300)) where campaign_id = ${id}`,
    );
    ids = (await client.walk(`/v1/contacts?campaignId=${id}&limit=1000&order=asc`)).map(
      (contact) => contact.id,
    );
    await run({ operation: 'archive', campaign: id });
    await work();
    archive = id;
  });

  test('gives one file with every row, of as many parts as it takes', async () => {
    at.asked.length = 0;
    const [item, ...more] = await output({
      operation: 'export',
      archive,
      format: 'ndjson',
      table: 'contacts',
    });
    expect(more).toEqual([]);
    expect(at.asked.length).toBeGreaterThan(1);
    const lines = text(item).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).id)).toEqual(ids);
    expect(item).toMatchObject({
      json: {
        archiveId: archive,
        table: 'contacts',
        format: 'ndjson',
        fileName: 'contacts.ndjson',
        fileNumber: 1,
      },
      binary: { data: { fileName: 'contacts.ndjson', mimeType: 'application/x-ndjson' } },
      pairedItem: { item: 0 },
    });
    expect(item?.json.bytes).toBe(Buffer.byteLength(text(item)));
  });

  test('gives several files when it is larger than a file may be, each with the line of names', async () => {
    const options = { maxFileMegabytes: 5, fileName: 'people' };
    const items = await output({
      operation: 'export',
      archive,
      format: 'csv',
      table: 'contacts',
      binaryPropertyName: 'file',
      options,
    });
    expect(items.length).toBeGreaterThan(1);
    expect(items.map(({ json }) => json.fileName).slice(0, 2)).toEqual(['people.csv', 'people-2.csv']);
    const rows = items.flatMap((item) => {
      const [names, ...lines] = text(item, 'file').split(/\r\n/);
      expect(names).toMatch(/^\ufeffid,campaignId,companyId,fullName/);
      return lines.filter((line) => /^[0-9a-f]{8}-/.test(line)).map((line) => line.slice(0, 36));
    });
    expect(rows).toEqual(ids);
    expect(Math.max(...items.map(({ json }) => Number(json.bytes)))).toBeLessThanOrEqual(5_000_000);
  });

  test('a part that fails for a moment is asked for again; one that stays broken gives no file', async () => {
    const second = ({ url }: { url: string }) => url.includes('cursor=');
    at.troubles.push({ when: second, times: 2, status: 503 }, { when: second, times: 1 });
    const [item] = await output({ operation: 'export', archive, table: 'contacts' });
    expect(text(item).trimEnd().split('\n')).toHaveLength(ids.length);
    at.troubles.push({ when: second, times: 99, status: 502 });
    await expect(output({ operation: 'export', archive, table: 'contacts' })).rejects.toMatchObject({
      httpCode: '502',
      context: { itemIndex: 0 },
    });
  });

  test('a refusal shows its words, though a file was asked for; a page of HTML is no file', async () => {
    const nobodys = '0198f0c2-0000-7000-8000-0000000000ff';
    await expect(run({ operation: 'export', archive: nobodys })).rejects.toMatchObject({
      httpCode: '404',
      message: expect.stringContaining(nobodys),
      description: expect.stringContaining('not_found'),
    });
    at.troubles.push({ when: () => true, times: 9, status: 200 });
    await expect(run({ operation: 'export', archive })).rejects.toThrow(
      'not a file of the Aim for Leads API',
    );
  });

  test('where something on the way drops headers, a part is not taken for the whole', async () => {
    at.troubles.push({ when: ({ url }) => url.includes('/export'), times: 9, without: /^x-/ });
    await expect(run({ operation: 'export', archive })).rejects.toThrow(
      'not a file of the Aim for Leads API',
    );
    at.troubles.length = 0;
  });

  test('an archive without such rows gives an empty file', async () => {
    const id = await client.campaign();
    await run({ operation: 'archive', campaign: id, ...wait });
    const [empty] = await output({ operation: 'export', archive: id, table: 'research' });
    expect([text(empty), empty?.json.bytes]).toEqual(['', 0]);
  });
});

test('the policy is set as a whole and shown again; what makes no sense is refused before it is sent', async () => {
  const policy = (parameters: Given['parameters']) => run({ resource: 'archivePolicy', ...parameters });
  const rules = { idleDays: 90, closed: true, retentionDays: 730 };
  const set = { ...rules, endedDays: null };
  expect(await policy({ operation: 'set', options: rules })).toEqual([expect.objectContaining(set)]);
  expect(await policy({ operation: 'get' })).toEqual([expect.objectContaining(set)]);
  const asText = { ...rules, closed: 'true' };
  expect(await policy({ operation: 'set', options: asText })).toEqual([expect.objectContaining(set)]);
  expect(await policy({ operation: 'set', options: {} })).toEqual([
    expect.objectContaining({ idleDays: null, endedDays: null, closed: false, retentionDays: null }),
  ]);
  at.asked.length = 0;
  await expect(policy({ operation: 'set', options: { idleDays: 0 } })).rejects.toThrow('Idle For must be');
  // A rule that was added must not be dropped because an expression found nothing.
  const blank = { ...rules, retentionDays: undefined };
  await expect(policy({ operation: 'set', options: blank })).rejects.toThrow(
    'Delete Archives After is blank',
  );
  expect(at.asked).toEqual([]);
});

test('what was done is reported, the newest first', async () => {
  const id = await anArchive();
  const [newest, ...others] = await run({ operation: 'getManyEvents', limit: 2 });
  expect(newest).toMatchObject({ campaignId: id, action: 'archive', outcome: 'done', reason: 'asked' });
  expect(others).toHaveLength(1);
});

describe('Erasure', () => {
  test('a person is forgotten, archives included, and the erasure says in how many rows', async () => {
    const archive = await anArchive(5);
    const email = '1@company-5.example';
    const begun = await run({ resource: 'erasure', operation: 'forget', email });
    expect(begun).toMatchObject([{ state: 'running' }]);
    const done = await run({ resource: 'erasure', operation: 'forget', email, ...wait }, { runIndex: 1 });
    expect(done).toMatchObject([{ id: begun[0].id, state: 'done', timedOut: false }]);
    const shown = await run({ resource: 'erasure', operation: 'get', erasureId: begun[0].id });
    expect(shown).toMatchObject([{ state: 'done', counts: expect.any(Object) }]);
    expect(JSON.stringify(shown)).not.toContain(email);
    const left = await run({ operation: 'getManyContacts', archive, returnAll: true });
    expect(left).toHaveLength(14);
    expect(left.map((contact) => contact.email)).not.toContain(email);
  });

  test('without an address, or with what is none, nothing is begun', async () => {
    await expect(run({ resource: 'erasure', operation: 'forget', email: '' })).rejects.toThrow(
      'no email address',
    );
    await expect(run({ resource: 'erasure', operation: 'forget', email: 'Ann' })).rejects.toMatchObject({
      httpCode: '400',
      description: expect.stringContaining('email: not an email address'),
    });
    expect(api.tasks).toEqual([]);
  });
});

test('the archive picker finds an archived campaign by its name', async () => {
  const id = await client.campaign('Long ago');
  await run({ operation: 'archive', campaign: id });
  const { searchArchives } = new AimForLeads().methods.listSearch;
  const { functions } = context(at, { parameters: {} });
  expect(await searchArchives.call(functions as never, 'LONG')).toEqual({
    results: [{ name: 'Long ago', value: id }],
  });
  await work();
});
