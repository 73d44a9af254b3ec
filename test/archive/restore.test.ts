import { runRestore, startRestore } from '../../core/archive/restore.ts';
import { sql } from '../../core/db/sql.ts';
import {
  archived,
  archiver,
  aVariedCampaign,
  digestOf,
  evenly,
  restored,
  whereabouts,
} from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';

let db: TestDatabase;
let tenantId: string;
let providerId: string;
let campaignId: string;
beforeEach(async () => {
  db = await testDatabase();
  const world = await aWorld(db, { companies: 1 });
  tenantId = world.tenantId;
  providerId = world.provider.id;
  campaignId = await aVariedCampaign(db, tenantId, providerId, 340);
});
afterEach(() => db.close());

/** The rows of a chunk made anew, of an array of all of them. */
const rowsMade = (made: string) =>
  `(select aim.chunk_of(${made}) from aim.chunk_rows(columns, rows, row_count) r (value))`;
const without3 = rowsMade('jsonb_agg(r.value) - 3');

const plain = (text: string) => ({ statement: 't', text, values: [campaignId] });

test.each([
  ['a changed value', `rows = jsonb_set(rows, '{3,1}', '"forged"')`],
  ['a row that went missing', `rows = ${without3}, row_count = row_count - 1`],
  [
    'a row twice',
    `rows = ${rowsMade('jsonb_agg(r.value) || jsonb_build_array(jsonb_agg(r.value) -> 0)')}, row_count = row_count + 1`,
  ],
  ['values that went missing', "rows = jsonb_set(rows, '{3}', (rows -> 3) - 3)"],
  ['a wrong count', 'row_count = row_count - 1'],
  ['another hash', "sha256 = sha256('x')"],
  ['other columns', "columns = jsonb_set(columns, '{1,0}', '\"title\"')"],
])('%s is found before anything changes, and the chunk is named', async (_, change) => {
  await archived(db, tenantId, campaignId);
  await db.query(
    plain(
      `update archive_chunks set ${change} where archive_id = $1 and table_name = 'contacts' and number = 2`,
    ),
  );
  const before = await everything();
  await expect(restored(db, tenantId, campaignId)).rejects.toMatchObject({
    code: 'archive_damaged',
    message: expect.stringContaining('chunk 2 of contacts'),
  });
  expect(await everything()).toEqual(before);
});

test.each([
  [
    'a chunk that is gone',
    "delete from archive_chunks where archive_id = $1 and table_name = 'contacts' and number = 2",
  ],
  [
    'a chunk with the hash of its forgery',
    `update archive_chunks set rows = ${without3}, row_count = row_count - 1, sha256 = aim.chunk_sha256(columns, ${without3})
      where archive_id = $1 and table_name = 'contacts' and number = 2`,
  ],
  [
    'two chunks in the place of each other',
    `update archive_chunks c set rows = o.rows, row_count = o.row_count, sha256 = o.sha256 from archive_chunks o
      where c.archive_id = $1 and o.archive_id = $1 and c.table_name = 'contacts' and o.table_name = 'contacts'
        and c.number <= 2 and o.number = 3 - c.number`,
  ],
])('%s is found before anything changes', async (_, change) => {
  await archived(db, tenantId, campaignId);
  await db.query(plain(change));
  const before = await everything();
  await expect(restored(db, tenantId, campaignId)).rejects.toMatchObject({ code: 'archive_damaged' });
  expect(await everything()).toEqual(before);
});

test('a chunk that is damaged while the restore is under way is not restored; the others wait for it', async () => {
  await archived(db, tenantId, campaignId);
  await startRestore(db.asWorker, tenantId, campaignId);
  let looks = 13;
  const some = { ...evenly(), remainingMs: () => 1_000 * looks-- };
  expect(await runRestore(archiver(db.asWorker), campaignId, some)).toMatchObject({ done: false });
  const chunk = "archive_id = $1 and table_name = 'research_attempts' and number = 1";
  await db.query(plain(`update archive_chunks set rows = rows || '[[]]' where ${chunk}`));
  const go = () => runRestore(archiver(db.asWorker), campaignId, evenly());
  for (let twice = 0; twice < 2; twice++) {
    await expect(go()).rejects.toMatchObject({
      message: expect.stringContaining('chunk 1 of research_attempts'),
    });
  }
  await db.query(plain(`update archive_chunks set rows = rows - -1 where ${chunk}`));
  expect(await go()).toMatchObject({ done: true });
});

test('an archive of an older schema: new columns take their default, dropped ones are kept or told of', async () => {
  const alter = (text: string) => db.query({ statement: 't', text, values: [] });
  await alter(
    'alter table contacts add column nickname text, add column tags text[], add column extra jsonb',
  );
  await alter('alter table research_jobs add column note text');
  await db.query(sql('t')`
    update contacts set nickname = 'Ad "a"', tags = '{x,"y z",null}', extra = '{"k": [1.50, null]}', attributes = '{"title": 1}'
    where campaign_id = ${campaignId} and email like '1@%'`);
  await db.query(sql('t')`update research_jobs set note = 'n' where campaign_id = ${campaignId}`);
  const before = await digestOf(db, campaignId);
  await archived(db, tenantId, campaignId);
  await alter('alter table contacts drop column nickname, drop column extra, drop column phone');
  await alter(
    "alter table contacts add column mood text not null default 'calm', add column later timestamptz",
  );
  await alter('alter table research_jobs drop column note');
  await startRestore(db.asApi.forTenant(tenantId), tenantId, campaignId);
  const told: unknown[] = [];
  const deps = {
    ...archiver(db.asWorker),
    log: { info: (_: string, fields: object) => void told.push(fields) },
  };
  await runRestore(deps, campaignId, evenly());
  expect(told).toMatchObject([{ lost: { research_jobs: ['note'] } }]);
  const after = await digestOf(db, campaignId);
  for (const [table, columns] of Object.entries(before)) {
    for (const name of ['nickname', 'extra', 'phone', 'note']) delete columns[name];
    if (table === 'contacts') delete columns.attributes;
    expect(after[table]).toMatchObject(columns);
  }
  const contacts = await db.query(sql('t')`
    select distinct attributes::text, tags::text, mood, later from contacts
    where campaign_id = ${campaignId} and email like '1@%'`);
  const attributes = '{"extra": {"k": [1.50, null]}, "title": 1, "nickname": "Ad \\"a\\""}';
  expect(contacts).toEqual([{ attributes, tags: '{x,"y z",NULL}', mood: 'calm', later: null }]);
  const [others] = await db.query<{ named: number }>(sql('t')`
    select count(*) filter (where attributes ? 'nickname' or attributes ? 'phone') as named from contacts
    where campaign_id = ${campaignId} and email not like '1@%'`);
  expect(others?.named).toBe(0);
});

test('what belonged to a provider that was deleted meanwhile does not come back, the rest does', async () => {
  const before = await digestOf(db, campaignId);
  await archived(db, tenantId, campaignId);
  await db.query(sql('t')`delete from research_providers where id = ${providerId}`);
  expect(await restored(db, tenantId, campaignId)).toMatchObject({ done: true });
  const after = await digestOf(db, campaignId);
  for (const table of ['companies', 'contacts', 'company_research', 'prospect_research']) {
    expect(after[table]).toEqual(before[table]);
  }
  for (const table of ['research_batches', 'research_jobs', 'research_attempts']) {
    expect(Number(after[table]?.count)).toBe(0);
  }
});

async function everything() {
  const archives = await db.query(sql('t')`
    select state, checksum, totals, archived_at from archived_campaigns where id = ${campaignId}`);
  const campaign = await db.query(sql('t')`select archived, version from campaigns where id = ${campaignId}`);
  return { rows: await whereabouts(db, campaignId), archives, campaign };
}
