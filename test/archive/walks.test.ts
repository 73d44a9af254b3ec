import { runRestore } from '../../core/archive/restore.ts';
import { runArchive } from '../../core/archive/run.ts';
import { deleteCampaign, removeDeleted } from '../../core/campaigns/delete.ts';
import { listContacts } from '../../core/contacts/list.ts';
import { ContactQuery } from '../../core/contract/contacts.ts';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { type Api, aClient, anApi, type Client } from '../api/client.ts';
import { archiver, aVariedCampaign, evenly } from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aProvider } from '../support/factories.ts';
import { horizonPassed } from '../support/horizon.ts';

let db: TestDatabase;
let api: Api;
let client: Client;
let campaignId: string;
/** What is walked through: of the campaign, a company, a batch and a finding, and a search. */
let live: string[];
beforeAll(async () => {
  db = await testDatabase();
  api = anApi(db);
});
beforeEach(async () => {
  client = await aClient(db, api);
  const { id: providerId } = await aProvider(db, client.tenantId);
  campaignId = await aVariedCampaign(db, client.tenantId, providerId, 12);
  const [one] = await db.query<{ companyId: string; batchId: string; researchId: string }>(sql('t')`
    select j.company_id as "companyId", j.batch_id as "batchId", r.id as "researchId"
    from research_jobs j join company_research r on r.company_id = j.company_id
    where j.campaign_id = ${campaignId} limit 1`);
  live = [
    ...['companies', 'contacts', 'research', 'prospects', 'batches'].map(
      (list) => `${list}?campaignId=${campaignId}`,
    ),
    `companies?campaignId=${campaignId}&search=company`,
    `contacts?companyId=${one?.companyId}`,
    `research?companyId=${one?.companyId}`,
    `prospects?researchId=${one?.researchId}`,
    `jobs?batchId=${one?.batchId}`,
  ];
});
afterAll(() => db.close());

const kept = () =>
  ['contacts', 'companies', 'export?table=research&format=csv'].map(
    (list) => `archives/${campaignId}/${list}`,
  );
const begin = (action: 'archive' | 'restore') => client.post(`/v1/campaigns/${campaignId}/${action}`, {});
/** So many looks at the clock, and then it is out of time. */
const some = (looks: number) => ({ ...evenly(1, 5), remainingMs: () => 1_000 * looks-- });
const answers = async (paths: string[]) => {
  const replies: Record<string, unknown> = {};
  for (const path of paths) {
    const { status, body } = await client.get(`/v1/${path}`);
    replies[path] = status === 200 ? 200 : `${status} ${(body as { code?: string }).code}`;
  }
  return replies;
};
const all = (paths: string[], answer: unknown) => Object.fromEntries(paths.map((path) => [path, answer]));

test('what an archive or a restore is moving is not passed on in parts, neither from here nor from there', async () => {
  expect(await answers(live)).toEqual(all(live, 200));
  expect(await answers(kept())).toEqual(all(kept(), '404 not_found'));

  await begin('archive');
  for (const looks of [0, 7, 14]) {
    expect(await runArchive(archiver(db.asWorker), campaignId, some(looks))).toMatchObject({ done: false });
    // Those below a parent that has gone already do not find it.
    expect(Object.values(await answers(live.slice(0, 6)))).toEqual(Array(6).fill('409 campaign_archived'));
    for (const answer of Object.values(await answers(live.slice(6))))
      expect(answer).toMatch(/^(409 campaign_archived|404 not_found)$/);
    expect(await answers(kept())).toEqual(all(kept(), '409 archive_unfinished'));
  }
  await runArchive(archiver(db.asWorker), campaignId, evenly());
  expect(Object.values(await answers(live.slice(0, 6)))).toEqual(Array(6).fill('409 campaign_archived'));
  expect(await answers(kept())).toEqual(all(kept(), 200));

  await begin('restore');
  expect(await answers(kept())).toEqual(all(kept(), '409 archive_unfinished'));
  expect(await runRestore(archiver(db.asWorker), campaignId, some(9))).toMatchObject({ done: false });
  expect(Object.values(await answers(live.slice(0, 6)))).toEqual(Array(6).fill('409 campaign_archived'));
  await runRestore(archiver(db.asWorker), campaignId, evenly());
  expect(await answers(live)).toEqual(all(live, 200));
});

test('a walk that an archive overtakes ends with an error, not with what it had', async () => {
  const first = await client.get(`/v1/contacts?campaignId=${campaignId}&limit=10`);
  expect(first.body.data).toHaveLength(10);
  await begin('archive');
  await runArchive(archiver(db.asWorker), campaignId, evenly());
  const second = await client.get(`/v1/contacts?campaignId=${campaignId}&limit=10&cursor=${first.body.next}`);
  expect(second).toMatchObject({
    status: 409,
    body: { code: 'campaign_archived', detail: expect.stringContaining('/v1/archives') },
  });
});

test.each([
  ['deleted', 'not_found'],
  ['archived', 'campaign_archived'],
])('nor is a large page short that goes on after its campaign is %s', async (how, code) => {
  await db.query(sql('t')`insert into contacts (user_id, campaign_id, full_name)
    select ${client.tenantId}, ${campaignId}, 'n' || n from generate_series(1, 3000) n`);
  const bound = db.asApi.forTenant(client.tenantId);
  let pages = 0;
  const between: Db = {
    async query<Row>(statement: Parameters<Db['query']>[0]) {
      const rows = await bound.query<Row>(statement);
      if (!statement.statement.startsWith('page.') || pages++ > 0) return rows;
      if (how === 'archived') await begin('archive');
      else await deleteCampaign({ db: bound }, client.tenantId, campaignId, { budgetMs: 0 });
      return rows;
    },
    transaction: (work) => bound.transaction(work),
  };
  const request = ContactQuery.parse({ campaignId, limit: '5000' });
  await expect(listContacts({ db: between }, client.tenantId, request)).rejects.toMatchObject({ code });
});

test('nor does one below a company, a finding or a batch that has gone itself', async () => {
  await begin('archive');
  await runArchive(archiver(db.asWorker), campaignId, evenly());
  expect(Object.values(await answers(live.slice(6)))).toEqual(Array(4).fill('404 not_found'));
});

test('only whoever owns the campaign learns that it is archived', async () => {
  await begin('archive');
  const other = await aClient(db, api);
  expect(await other.get(`/v1/contacts?campaignId=${campaignId}`)).toMatchObject({ status: 404 });
});

test.each(['archive', 'delete'])('no copy of a row outlives its campaign: %s', async (how) => {
  const paths = [`/v1/campaigns/${campaignId}`];
  for (const list of ['companies', 'contacts', 'research', 'prospects']) {
    const { body } = await client.get(`/v1/${list}?campaignId=${campaignId}&limit=1`);
    paths.push(`/v1/${list}/${body.data[0].id}`);
  }
  if (how === 'archive') await begin('archive');
  else
    await deleteCampaign({ db: db.asApi.forTenant(client.tenantId) }, client.tenantId, campaignId, {
      budgetMs: 0,
    });
  await horizonPassed(db);
  const copies = new Map<string, Awaited<ReturnType<Client['get']>>>();
  for (const path of paths) copies.set(path, await client.get(path));
  if (how === 'archive') await runArchive(archiver(db.asWorker), campaignId, evenly());
  else await removeDeleted(db.asWorker, { budgetMs: 10_000 });
  await horizonPassed(db);

  for (const [path, copy] of copies) {
    const etag = copy.headers.get('etag');
    const again = await client.send('GET', path, undefined, etag ? { 'if-none-match': etag } : {});
    const seen = again.status === 304 ? copy : again;
    const plain = await client.get(path);
    expect({ path, ...seen.body, requestId: '' }).toEqual({ path, ...plain.body, requestId: '' });
  }
});
