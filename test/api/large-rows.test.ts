import { findArchived } from '../../core/archive/read/find.ts';
import { archivedTables, readArchivedRows } from '../../core/archive/read/rows.ts';
import type { Page } from '../../core/contract/page.ts';
import { type Research, ResearchQuery } from '../../core/contract/research.ts';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { listResearch } from '../../core/research/read/research.ts';
import { archive } from '../archive/archived.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant, someCompanies } from '../support/factories.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());

/** A campaign whose companies have findings of so many kB each, as prose or as what cannot be compressed. */
async function someFindings({ rows, kB, isPlain = true }: { rows: number; kB: number; isPlain?: boolean }) {
  const tenantId = await aTenant(db);
  const campaignId = await aCampaign(db, tenantId);
  const ids = await someCompanies(db, tenantId, campaignId, rows);
  const part = isPlain
    ? sql.fragment`repeat('scraped text ', 76)`
    : sql.fragment`(select string_agg(md5(n || ' ' || page), '') from generate_series(1, 31) n)`;
  await db.query(sql('t')`
    insert into company_research (user_id, campaign_id, company_id, kind, findings)
    select ${tenantId}, ${campaignId}, id, 'company',
      jsonb_build_object('pages', (
        select jsonb_agg(text) from (select ${part} as text from generate_series(1, ${kB}::int) page) each))
    from unnest(${ids}::uuid[]) id`);
  return { tenantId, campaignId };
}

/** Walks whatever is read by page. @returns its rows, and what each statement fetched of them */
async function walk<Row>(
  tenantId: string,
  read: (db: Db, cursor: string | undefined) => Promise<{ data: Row[]; next: string | null }>,
) {
  const fetched: { rows: number; bytes: number }[] = [];
  const bound = db.asApi.forTenant(tenantId);
  const measured: Db = {
    async query<Found>(statement: Parameters<Db['query']>[0]) {
      const rows = await bound.query<Found>(statement);
      if (/^page\.|rows$|find$/.test(statement.statement))
        fetched.push({ rows: rows.length, bytes: JSON.stringify(rows).length });
      return rows;
    },
    transaction: (work) => bound.transaction(work),
  };
  const seen: Row[] = [];
  let pages = 0;
  for (let cursor: string | null | undefined; cursor !== null; pages++) {
    const page = await read(measured, cursor);
    seen.push(...page.data);
    cursor = page.next;
  }
  return { seen, fetched, pages };
}

const research =
  (tenantId: string, query: Record<string, unknown>) =>
  (on: Db, cursor: string | undefined): Promise<Page<Research>> =>
    listResearch({ db: on }, tenantId, ResearchQuery.parse({ limit: '1000', ...query, cursor }));

test.each([
  ['by the index', {}],
  ['by a filter', { kind: 'company' }],
  ['the other way round', { order: 'asc', sort: 'updated' }],
  ['by a search', { search: 'company' }],
])('a statement fetches the large findings that a page has room for: %s', async (_, query) => {
  const { tenantId, campaignId } = await someFindings({ rows: 40, kB: 300, isPlain: false });
  const { seen, fetched } = await walk(tenantId, research(tenantId, { campaignId, ...query }));
  expect(new Set(seen.map((row) => row.id)).size).toBe(40);
  expect(seen).toHaveLength(40);
  expect(Math.max(...fetched.map(({ bytes }) => bytes))).toBeLessThan(6_000_000);
});

test('compressed ones are counted as what memory they may take', async () => {
  const { tenantId, campaignId } = await someFindings({ rows: 400, kB: 200 });
  const first = async (on: Db) => ({
    ...(await research(tenantId, { campaignId })(on, undefined)),
    next: null,
  });
  const { fetched } = await walk(tenantId, first);
  expect(fetched.map(({ rows }) => rows < 400)).toEqual([true]);
});

test('small findings take one statement for a thousand, as do large ones that are not asked for', async () => {
  const small = await someFindings({ rows: 1_000, kB: 1 });
  const walked = await walk(small.tenantId, research(small.tenantId, { campaignId: small.campaignId }));
  expect(walked.fetched.map(({ rows }) => rows)).toEqual([1_000]);
  expect(walked.pages).toBe(1);
  const { tenantId, campaignId } = await someFindings({ rows: 300, kB: 100 });
  const { fetched } = await walk(tenantId, research(tenantId, { campaignId, fields: 'kind,summary' }));
  expect(fetched.map(({ rows }) => rows)).toEqual([300]);
});

test('rows of an archive are fetched no more at once either, read in their order or found', async () => {
  const { tenantId, campaignId } = await someFindings({ rows: 40, kB: 300, isPlain: false });
  await db.query(sql('t')`
    insert into prospect_research (user_id, campaign_id, company_id, company_research_id, natural_key, email, attributes)
    select user_id, campaign_id, company_id, id, 'a', 'a@b.example', findings from company_research
    where campaign_id = ${campaignId}`);
  await archive(db, tenantId, campaignId);
  const read = await walk(tenantId, (on, cursor) =>
    readArchivedRows<Research>(on, campaignId, archivedTables.research, { limit: 1_000, cursor }),
  );
  expect(new Set(read.seen.map((row) => row.id)).size).toBe(40);
  expect(read.seen).toHaveLength(40);
  const found = await walk(tenantId, (on, cursor) =>
    findArchived({ db: on }, tenantId, { email: 'a@b.example', limit: 1_000, cursor }),
  );
  expect(new Set(found.seen.map(({ row }) => row.id)).size).toBe(40);
  expect(found.seen).toHaveLength(40);
  expect(Math.max(...[...read.fetched, ...found.fetched].map(({ bytes }) => bytes))).toBeLessThan(6_000_000);
});
