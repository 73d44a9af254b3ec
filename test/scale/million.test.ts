import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { explain, recording } from '../../bench/schema/explain.ts';
import { loadMillion, type Million } from '../../bench/schema/million.ts';
import { listContacts } from '../../core/contacts/list.ts';
import { upsertContacts } from '../../core/contacts/upsert.ts';
import { ContactQuery } from '../../core/contract/contacts.ts';
import { type Connection, connect, type Db } from '../../core/db/connect.ts';
import { applyMigrations } from '../../core/db/migrate.ts';
import { sql } from '../../core/db/sql.ts';
import { giveLogins } from '../../local/stack/logins.ts';
import { type Postgres, startPostgres } from '../../local/stack/postgres.ts';

/**
 * On a server of its own: transactions that take a minute would hold up the change feed of the other tests. Half of a
 * million contacts belong to one campaign of one tenant, the others to 99 tenants.
 */
let server: Postgres;
let db: Connection;
let api: Connection;
let million: Million;
let companyId: string;
beforeAll(async () => {
  const home = mkdtempSync(join(tmpdir(), 'aim-test-million-'));
  server = await startPostgres({ home, log: join(home, 'postgres.log') });
  await applyMigrations(server.url);
  db = connect(server.url, { max: 4 });
  api = connect((await giveLogins(server.url)).api, { max: 4 });
  million = await loadMillion(db);
  const { tenantId, campaignId } = million.large;
  const [company] = await db.query<{ id: string }>(sql('t')`
    insert into companies (user_id, campaign_id, name, natural_key)
    values (${tenantId}, ${campaignId}, 'Large', 'name:large') returning id`);
  companyId = company?.id ?? '';
  await db.query(sql('t')`
    update contacts set company_id = ${companyId} where id in (
      select id from contacts where campaign_id = ${campaignId} order by created_at desc, id desc limit 20000)`);
  await db.query({ statement: 'analyze', text: 'vacuum analyze contacts', values: [] });
}, 300_000);
afterAll(async () => {
  await Promise.all([db.close(), api.close()]);
  await server.remove();
});

const bound = () => api.forTenant(million.large.tenantId);

const limit = 100;
const sorts = ['created', 'updated', 'name', 'email'];
const scopes: [string, () => object][] = [
  ['campaign', () => ({ campaignId: million.large.campaignId })],
  ['tenant', () => ({})],
  ['company', () => ({ companyId })],
];
const lists = scopes.flatMap(([scope, filter]) =>
  sorts.flatMap((sort) => ['asc', 'desc'].map((order) => [scope, sort, order, filter] as const)),
);

/** Pages of the large tenant, as the API reads them. */
async function read(query: Record<string, unknown>) {
  const seen = recording(bound());
  const page = await listContacts({ db: seen.db }, million.large.tenantId, ContactQuery.parse(query));
  const [statement] = seen.statements;
  if (!statement) throw new Error('no statement was sent');
  return { page, plan: () => explain(bound(), statement) };
}

test.each(lists)(
  'at a million rows, pages of a %s by %s %s are index ranges: no sort, no scan of the table',
  async (_, sort, order, filter) => {
    const query = { ...filter(), sort, order, limit };
    const first = await read(query);
    const second = await read({ ...query, cursor: first.page.next });
    expect(second.page.data).toHaveLength(limit);
    for (const { plan } of [first, second]) {
      const { nodes } = await plan();
      expect(nodes.filter((node) => /Sort|Seq Scan|Bitmap/.test(node))).toEqual([]);
      expect(nodes.some((node) => /^Index (Only )?Scan/.test(node))).toBe(true);
    }
  },
);

test.each([
  ['campaign', 'created'],
  ['campaign', 'name'],
  ['tenant', 'created'],
  ['tenant', 'email'],
])('page 4,000 of a %s by %s touches at most 1.2 × the buffers of page 1', async (scope, sort) => {
  const filter = scopes.find(([name]) => name === scope)?.[1]() ?? {};
  let cursor: string | null = null;
  for (let walked = 0; walked < 400_000; walked += 5_000) {
    const { page } = await read({ ...filter, sort, limit: 5_000, fields: 'id', ...(cursor && { cursor }) });
    cursor = page.next;
  }
  // A few pages each: one page alone may lie on one heap page more or less.
  const buffers = async (start: string | null) => {
    let sum = 0;
    for (let page = 0, at = start; page < 5; page++) {
      const one = await read({ ...filter, sort, limit, ...(at && { cursor: at }) });
      sum += (await one.plan()).buffers;
      at = one.page.next;
    }
    return sum;
  };
  expect(await buffers(cursor)).toBeLessThanOrEqual(1.2 * (await buffers(null)));
});

test('addresses are looked up in the index, not by reading their campaign', async () => {
  const { tenantId, campaignId } = million.large;
  const { page } = await read({ campaignId, limit: 50, fields: 'email' });
  const emails = page.data.map(({ email }) => email ?? '');
  const rows = emails.map((email) => ({ email: email.toUpperCase() }));
  const seen = recording(bound());
  const inOne = { ...seen.db, transaction: <R>(work: (tx: Db) => Promise<R>) => work(seen.db) };
  const { counts } = await upsertContacts({ db: inOne }, tenantId, { campaignId, rows });
  expect(counts).toMatchObject({ unchanged: 50 });
  const lookUp = seen.statements.find(({ statement }) => statement === 'contacts.unchanged');
  if (!lookUp) throw new Error('nothing was looked up');
  expect((await explain(bound(), lookUp)).buffers).toBeLessThan(500);
});

test('a filter that nothing passes touches no more than the 20,000 rows it may look at', async () => {
  const { campaignId } = million.large;
  const none = await read({ campaignId, attribute: 'segment:none', limit });
  expect(none.page).toMatchObject({ data: [], next: expect.any(String) });
  const { nodes } = await none.plan();
  expect(nodes.filter((node) => /Sort|Seq Scan|Bitmap/.test(node))).toEqual([]);
});
