import { readdirSync } from 'node:fs';
import { applyMigrations } from '../../core/db/migrate.ts';
import { type Statement, sql } from '../../core/db/sql.ts';
import { archived, aVariedCampaign, digestOf, restored } from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld } from '../support/factories.ts';

let db: TestDatabase;
let tenantId: string;
let campaignId: string;
beforeEach(async () => {
  db = await testDatabase();
  const world = await aWorld(db, { companies: 1 });
  tenantId = world.tenantId;
  campaignId = await aVariedCampaign(db, tenantId, world.provider.id, 10);
});
afterEach(() => db.close());

/** Down to where chunks kept their rows one by one. */
const down = () =>
  applyMigrations(db.url, {
    direction: 'down',
    count: readdirSync('migrations').filter((name) => name >= '0050').length,
  });

test('chunks kept by row are kept by column after the migration, and come back as they were', async () => {
  const before = await digestOf(db, campaignId);
  await archived(db, tenantId, campaignId);
  await down();
  const [old] = await db.query<{ chunks: number; whole: boolean }>(sql('t')`
    select count(*) as chunks, bool_and(sha256 = aim.chunk_sha256(columns, rows)
      and row_count = jsonb_array_length(rows) and jsonb_array_length(rows -> 0) = jsonb_array_length(columns)) as whole
    from archive_chunks`);
  expect(old?.chunks).toBeGreaterThan(7);
  expect(old?.whole).toBe(true);
  await applyMigrations(db.url);
  await restored(db, tenantId, campaignId);
  expect(await digestOf(db, campaignId)).toEqual(before);
});

test('URLs that resume an execution do not outlast the migration, and the rest comes back', async () => {
  const before = await digestOf(db, campaignId);
  await archived(db, tenantId, campaignId);
  await down();
  await db.query(sql('t')`
    update archive_chunks k set columns = n.columns, rows = n.rows, sha256 = aim.chunk_sha256(n.columns, n.rows)
    from archive_chunks o
    cross join lateral (
      -- Among the others, as it stood in the table.
      select jsonb_insert(o.columns, '{3}', '["resume_url", "text"]') as columns,
        jsonb_agg(jsonb_insert(r.value, '{3}', '"https://n8n.example/webhook-waiting/7"') order by r.place) as rows
      from jsonb_array_elements(o.rows) with ordinality r (value, place)
    ) n
    where o.table_name = 'research_batches' and o.archive_id = k.archive_id and o.table_name = k.table_name
      and o.number = k.number`);
  await db.query(sql('t')`update archived_campaigns set checksum = aim.archive_checksum(id)`);
  const left = () =>
    db.query(sql('t')`
      select number from archive_chunks where (columns::text || rows::text) ~ 'webhook-waiting|resume_url'`);
  expect(await left()).not.toEqual([]);
  await applyMigrations(db.url);
  expect(await left()).toEqual([]);
  await restored(db, tenantId, campaignId);
  expect(await digestOf(db, campaignId)).toEqual(before);
});

test('a chunk by row that was damaged is still found to be damaged', async () => {
  await archived(db, tenantId, campaignId);
  await down();
  const forge: Statement = {
    statement: 't',
    text: `update archive_chunks set rows = jsonb_set(rows, '{1,3}', '"forged"') where table_name = 'contacts'`,
    values: [],
  };
  await db.query(forge);
  await applyMigrations(db.url);
  await expect(restored(db, tenantId, campaignId)).rejects.toMatchObject({ code: 'archive_damaged' });
});

test('a value that all rows of a chunk have is kept once, one that only looks the same is not', async () => {
  await db.query(sql('t')`update contacts set title = 'CEO', phone = case when phone is null then '1' end
    where campaign_id = ${campaignId}`);
  await db.query(sql('t')`update contacts set full_name = 'x' where campaign_id = ${campaignId}`);
  const [odd] = await db.query<{ id: string }>(sql('t')`
    update contacts set full_name = 'X', attributes = '{"n": 1.0}' where id = (
      select id from contacts where campaign_id = ${campaignId} limit 1) returning id`);
  await db.query(sql('t')`
    update contacts set attributes = '{"n": 1}' where campaign_id = ${campaignId} and id <> ${odd?.id}`);
  const before = await digestOf(db, campaignId);
  await archived(db, tenantId, campaignId);
  const [kept] = await db.query<{ title: unknown; names: number; attributes: number }>(sql('t')`
    select rows -> 4 as title, jsonb_array_length(rows -> 2) as names, jsonb_array_length(rows -> 7) as attributes
    from archive_chunks where archive_id = ${campaignId} and table_name = 'contacts'`);
  expect(kept).toEqual({ title: ['CEO'], names: 30, attributes: 30 });
  await restored(db, tenantId, campaignId);
  expect(await digestOf(db, campaignId)).toEqual(before);
});
