import { readFileSync, writeFileSync } from 'node:fs';
import { documentSchema } from '../../core/db/document.ts';
import { dumpSchema } from '../../core/db/dump.ts';
import { applyMigrations } from '../../core/db/migrate.ts';
import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant, aWorld, someCompanies } from '../support/factories.ts';

/** Below it the page is written by `npm run schema`. */
const marker = '<!-- generated -->';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

test('schema.sql is what the migrations make', async () => {
  const dump = await dumpSchema(db);
  if (process.env.WRITE_SCHEMA) writeFileSync('schema.sql', dump);
  expect(readFileSync('schema.sql', 'utf8')).toBe(dump);
});

test('docs/schema.md lists the tables and indexes there are, and says what each is for', async () => {
  const generated = await documentSchema(db, 'migrations');
  const page = readFileSync('docs/schema.md', 'utf8');
  const [head = ''] = page.split(marker);
  if (process.env.WRITE_SCHEMA) writeFileSync('docs/schema.md', `${head}${marker}\n\n${generated}`);
  expect(readFileSync('docs/schema.md', 'utf8')).toBe(`${head}${marker}\n\n${generated}`);
});

test('every migration goes down and up again, and twice up does no harm', async () => {
  const own = await testDatabase();
  const before = await dumpSchema(own);
  expect((await applyMigrations(own.url, { direction: 'down', count: 99 })).length).toBeGreaterThan(0);
  expect(await dumpSchema(own)).not.toContain('create table');
  expect(await applyMigrations(own.url, { direction: 'down', count: 99 })).toEqual([]);
  expect((await applyMigrations(own.url)).length).toBeGreaterThan(0);
  expect(await applyMigrations(own.url)).toEqual([]);
  expect(await dumpSchema(own)).toBe(before);
  await own.close();
});

test('a company cannot hang below the campaign of another tenant', async () => {
  const campaignId = await aCampaign(db, await aTenant(db));
  await expect(someCompanies(db, await aTenant(db), campaignId, 1)).rejects.toMatchObject({ code: '23503' });
});

test.each([
  [
    'a processing job without a lease',
    sql('test.bad')`update research_jobs set status = 'processing', attempt_id = uuidv7()`,
  ],
  [
    'a failed job without a reason',
    sql('test.bad')`update research_jobs set status = 'failed', finished_at = now()`,
  ],
  ['an ended job without its time', sql('test.bad')`update research_jobs set status = 'completed'`],
  ['an archived campaign without its time', sql('test.bad')`update campaigns set archived = true`],
  [
    'a completed batch that is not sealed',
    sql('test.bad')`update research_batches set status = 'completed', finished_at = now()`,
  ],
  [
    'a natural key that is not the domain',
    sql('test.bad')`update companies set natural_key = 'other.example'`,
  ],
])('%s is refused by the database', async (_, statement) => {
  const { tenantId, campaignId, companyIds, provider } = await aWorld(db, { companies: 1 });
  await db.query(sql('test.job')`
    with batch as (
      insert into research_batches (user_id, campaign_id, provider_id, kind)
      values (${tenantId}, ${campaignId}, ${provider.id}, 'company') returning id
    )
    insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind)
    select ${tenantId}, id, ${companyIds[0]}, ${campaignId}, ${provider.id}, 'company' from batch`);
  await expect(db.query(statement)).rejects.toMatchObject({ code: '23514' });
});

test('every table forces row level security, on its owner too', async () => {
  const open = await db.query(sql('test.rls')`
    select relname from pg_class
    where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace and relname <> 'aim_migrations'
      and not (relrowsecurity and relforcerowsecurity)`);
  expect(open).toEqual([]);
});
