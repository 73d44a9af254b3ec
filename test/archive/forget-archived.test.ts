import { runErasure, startErasure } from '../../core/archive/forget/erase.ts';
import { rewriteChunk } from '../../core/archive/forget/rewrite.ts';
import { startRestore } from '../../core/archive/restore.ts';
import type { Db } from '../../core/db/connect.ts';
import { type Statement, sql } from '../../core/db/sql.ts';
import { type Api, aClient, anApi, type Client, type Json } from '../api/client.ts';
import { archived, restored } from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, someCompanies } from '../support/factories.ts';
import { archive } from './archived.ts';
import { tracesOf } from './traces.ts';

const t = sql('t');
let db: TestDatabase;
let api: Api;
let client: Client;
beforeEach(async () => {
  db = await testDatabase();
  api = anApi(db);
  client = await aClient(db, api);
});
afterEach(() => db.close());

const email = 'ann@known.example';
const quiet = { info: () => undefined, warn: () => undefined };
const deps = () => ({
  db: db.asWorker,
  log: quiet,
  clock: Date.now,
  sleep: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)),
});

async function forget(remainingMs = () => 60_000, at: Db = db.asWorker, whom = email) {
  const { tenantId } = client;
  const { id } = await startErasure({ db: db.asApi.forTenant(tenantId) }, tenantId, whom);
  return runErasure({ ...deps(), db: at }, { erasureId: id, tenantId, email: whom }, { remainingMs });
}

/** An archive of 2,500 contacts, of which one is Ann and ten name her; a company's research names her too. */
async function anArchiveThatKnowsAnn(): Promise<string> {
  const { tenantId } = client;
  const id = await aCampaign(db, tenantId, { name: `About ${email}` });
  const [companyId] = await someCompanies(db, tenantId, id, 3);
  await db.query(t`
    insert into contacts (user_id, campaign_id, company_id, full_name, email, attributes)
    select ${tenantId}, ${id}, ${companyId}, 'P ' || n, case when n = 1700 then 'Ann@Known.example' else 'p' || n || '@known.example' end,
      case when n % 250 = 0 then '{"digits": 1.10, "big": 12345678901234567890.5, "boss": "mail:\\nANN@known.example"}'::jsonb else '{}' end
    from generate_series(1, 2500) n`);
  await db.query(t`insert into company_research (user_id, campaign_id, company_id, kind, summary, findings)
    values (${tenantId}, ${id}, ${companyId}, 'company', ${`Ask ${email}`}, ${JSON.stringify({ [email]: email })}::jsonb)`);
  await db.query(t`insert into prospect_research (user_id, campaign_id, company_id, company_research_id, natural_key, email)
    select user_id, campaign_id, company_id, id, ${email}, ${email} from company_research where campaign_id = ${id}`);
  await archive(db, tenantId, id);
  return id;
}

test('a person is nowhere in an archive any more, and every other row is as it was, to the last digit', async () => {
  const id = await anArchiveThatKnowsAnn();
  const rowsOf = async () =>
    db.query<{ id: string; text: string }>(t`
      select r.value ->> 'id' as id, r.value::text as text
      from archive_chunks c cross join lateral aim.archived_rows(c.archive_id, c.table_name, c.number) r (value)
      where c.archive_id = ${id} order by 1`);
  const before = await rowsOf();
  expect((await tracesOf(db, email)).length).toBeGreaterThan(1);
  expect(await forget()).toMatchObject({ done: true });
  expect(await tracesOf(db, email)).toEqual([]);
  const after = new Map((await rowsOf()).map((row) => [row.id, row.text]));
  // Ann as a contact, and as a prospect.
  expect(after.size).toBe(before.length - 2);
  for (const { id: row, text } of before) {
    if (!after.has(row)) continue;
    expect(after.get(row)).toBe(text.replaceAll(/ann@known\.example/gi, '[erased]'));
  }
  // All that vouches for the archive was renewed.
  const wrong = await db.query(t`
    select c.number from archive_chunks c join archived_campaigns a on a.id = c.archive_id
    where c.sha256 <> aim.chunk_sha256(c.columns, c.rows) or c.row_count <> aim.chunk_size(c.rows)
      or a.checksum <> aim.archive_checksum(a.id)`);
  expect(wrong).toEqual([]);
  const counts = await db.query(t`select counts from erasures`);
  expect(counts).toEqual([{ counts: { campaigns: 1, archived_campaigns: 1, archive_chunks: 13 } }]);
});

test('a search does not find her, pages and exports show the others, none twice', async () => {
  const id = await anArchiveThatKnowsAnn();
  expect((await client.get(`/v1/archives/search?email=${email}`)).body.data).toHaveLength(2);
  await forget();
  expect((await client.get(`/v1/archives/search?email=${email}`)).body.data).toEqual([]);
  const contacts: Json[] = await client.walk(`/v1/archives/${id}/contacts?limit=400`);
  expect(new Set(contacts.map((contact) => contact.id)).size).toBe(2499);
  const [other] = (await client.get('/v1/archives/search?email=p1701@known.example')).body.data;
  expect(other.row.fullName).toBe('P 1701');
});

test('cut off after any step it comes to the same end', async () => {
  await anArchiveThatKnowsAnn();
  for (let runs = 0, done = false; !done; runs++) {
    let steps = 0;
    ({ done } = await forget(() => (steps++ < 1 ? 60_000 : 0)));
    expect(runs).toBeLessThan(60);
  }
  expect(await tracesOf(db, email)).toEqual([]);
  expect(await forget()).toMatchObject({ done: true, rows: 0 });
});

test('who is brought back while the erasure looks elsewhere is found by another pass', async () => {
  const id = await anArchiveThatKnowsAnn();
  let isBack = false;
  /** Her row goes from its chunk, not looked into yet, to the live table, looked through already. */
  const bringBack = async () => {
    isBack = true;
    await db.query(t`delete from archived_campaigns where id = ${id}`);
    await db.query(t`update campaigns set archived = false, archived_at = null where id = ${id}`);
    await db.query(
      t`insert into contacts (user_id, campaign_id, email) values (${client.tenantId}, ${id}, ${email})`,
    );
  };
  const wrap = (inner: Db): Db => ({
    query: async <Row>(statement: Statement) => {
      if (!isBack && statement.statement === 'erase.batch') await bringBack();
      return inner.query<Row>(statement);
    },
    transaction: (work) => inner.transaction((tx) => work(wrap(tx))),
  });
  expect(await forget(undefined, wrap(db.asWorker))).toMatchObject({ done: true });
  expect(isBack).toBe(true);
  expect(await tracesOf(db, email)).toEqual([]);
  const [erasure] = await db.query<{ pass: number }>(t`select pass from erasures`);
  expect(erasure?.pass).toBe(2);
});

test('what named people in its keys and longest texts is restored once they are forgotten', async () => {
  const { tenantId } = client;
  const id = await aCampaign(db, tenantId);
  const long = (length: number) => `a@b.co ${'x'.repeat(length - 7)}`;
  const rows = ['ann@known.example', 'bob@known.example', long(500)].map((name) => ({ name }));
  await client.post('/v1/companies/bulk', { campaignId: id, rows });
  await db.query(t`
    insert into contacts (user_id, campaign_id, full_name, title, phone)
    values (${tenantId}, ${id}, ${long(500)}, ${long(500)}, ${long(100)})`);
  await archive(db, tenantId, id);
  for (const whom of ['ann@known.example', 'bob@known.example', 'a@b.co'])
    expect(await forget(undefined, undefined, whom)).toMatchObject({ done: true });
  expect(await restored(db, tenantId, id)).toMatchObject({ done: true });
  const names = await db.query<{ name: string; own: boolean }>(t`
    select left(name, 9) as name, natural_key like '%' || right(id::text, 12) as own from companies
    where campaign_id = ${id} order by name`);
  expect(names).toEqual([
    { name: '[erased]', own: true },
    { name: '[erased]', own: true },
    { name: '[erased] ', own: true },
  ]);
  const contact = await db.query(t`
    select length(full_name) as name, length(title) as title, length(phone) as phone from contacts where campaign_id = ${id}`);
  expect(contact).toEqual([{ name: 500, title: 500, phone: 100 }]);
  expect(await tracesOf(db, 'a@b.co')).toEqual([]);
});

test('whose email is the address in another dress goes from an archive too, which can be restored', async () => {
  const id = await aCampaign(db, client.tenantId);
  const rows = [
    { email: 'mailto:ann@known.example', fullName: 'Ann Smith' },
    { email: 'mailto:bob@known.example', fullName: 'Bob Brown' },
    { email: "o'ann@known.example", fullName: 'Odd' },
    { email: "o'bob@known.example", fullName: 'Even' },
  ];
  await client.post('/v1/contacts/bulk', { campaignId: id, rows });
  await archived(db, client.tenantId, id);
  for (const whom of ['ann@known.example', 'bob@known.example'])
    expect(await forget(undefined, undefined, whom)).toMatchObject({ done: true });
  expect(await tracesOf(db, 'Ann Smith')).toEqual([]);
  expect(await restored(db, client.tenantId, id)).toMatchObject({ done: true });
  const left = await db.query(
    t`select full_name as "fullName", email from contacts where campaign_id = ${id} order by 1`,
  );
  expect(left).toEqual([rows[3], rows[2]]);
});

test('an archive in which two people were left with the same email, or a key, is restored, once and again', async () => {
  const { tenantId } = client;
  const id = await aCampaign(db, tenantId);
  const [companyId] = await someCompanies(db, tenantId, id, 2);
  await db.query(t`insert into contacts (user_id, campaign_id, full_name, email)
    select ${tenantId}, ${id}, 'P ' || n, 'mailto:p' || n || '@known.example' from generate_series(1, 3) n`);
  await db.query(t`
    with research as (
      insert into company_research (user_id, campaign_id, company_id, kind)
      values (${tenantId}, ${id}, ${companyId}, 'company') returning id
    )
    insert into prospect_research (user_id, campaign_id, company_id, company_research_id, natural_key)
    select ${tenantId}, ${id}, ${companyId}, id, 'company-' || n || '.example' from research, generate_series(1, 2) n`);
  await archived(db, tenantId, id);
  // As erasures left them.
  const pattern = '(company-|p)[0-9]@?(known)?[.]example';
  for (const table of ['contacts', 'companies', 'prospect_research'])
    await db.transaction((tx) =>
      rewriteChunk(
        tx,
        { archiveId: id, table, number: 1 },
        {
          drop: sql.fragment`false`,
          change: sql.fragment`true`,
          changed: sql.fragment`regexp_replace(raw.value::text, ${pattern}, '[erased]', 'g')::jsonb`,
        },
      ),
    );
  const keys = () =>
    db.query<{ key: string; own: boolean }>(t`
      select left(key, -12) as key, right(key, 12) = right(id::text, 12) as own from (
        select id, email as key from contacts where campaign_id = ${id}
        union all select id, natural_key from companies where campaign_id = ${id} and domain = natural_key
        union all select id, natural_key from prospect_research where campaign_id = ${id}
      ) each order by 1`);
  const own = [...Array(4).fill('[erased] '), ...Array(3).fill('mailto:[erased] ')].map((key) => ({
    key,
    own: true,
  }));
  expect(await restored(db, tenantId, id)).toMatchObject({ done: true });
  expect(await keys()).toEqual(own);
  await archived(db, tenantId, id);
  await restored(db, tenantId, id);
  expect(await keys()).toEqual(own);
});

test('a dead letter forgets an address behind a character of several bytes', async () => {
  await db.query(t`
    insert into dead_letters (user_id, queue, message_id, body, fingerprint, error_code, reason)
    values (${client.tenantId}, 'q', 'm', convert_to(${`{"note":"“${email}”, joann@known.example"}`}, 'UTF8'), 'f', 'x', 'r')`);
  expect(await forget()).toMatchObject({ done: true });
  const [letter] = await db.query<{ body: string }>(
    t`select convert_from(body, 'UTF8') as body from dead_letters`,
  );
  expect(letter?.body).toBe('{"note":"“[erased]”, joann@known.example"}');
});

test('addresses are found by their domain as it was written', async () => {
  const id = await aCampaign(db, client.tenantId);
  const emails = ['a@ångström.example', 'b@www.acme.example', 'c@acme.example'];
  await client.post('/v1/contacts/bulk', {
    campaignId: id,
    rows: emails.map((each) => ({ fullName: 'A', email: each })),
  });
  await archive(db, client.tenantId, id);
  const found = async (domain: string) => {
    const { body } = await client.get(`/v1/archives/search?domain=${encodeURIComponent(domain)}`);
    return (body as { data: { row: { email: string } }[] }).data.map(({ row }) => row.email).sort();
  };
  expect(await found('Ångström.example')).toEqual(['a@ångström.example']);
  expect(await found('www.acme.example')).toEqual(['b@www.acme.example', 'c@acme.example']);
  expect(await found('acme.example')).toEqual(['c@acme.example']);
});

test('an archive that cannot be restored keeps a person in it alone, and is told of', async () => {
  const { tenantId } = client;
  const [bad, live] = [await aCampaign(db, tenantId), await aCampaign(db, tenantId)];
  for (const campaignId of [bad, live])
    await client.post('/v1/companies/bulk', { campaignId, rows: [{ name: email, domain: 'known.example' }] });
  await archived(db, tenantId, bad);
  await startRestore(db.asApi.forTenant(tenantId), tenantId, bad);
  // No role of ours can: a row in its place.
  const inItsPlace = (statement: Statement) =>
    db.transaction(async (tx) => {
      await tx.query(t`set local session_replication_role = replica`);
      await tx.query(statement);
    });
  await inItsPlace(t`insert into companies (user_id, campaign_id, name, domain, natural_key)
    select user_id, ${bad}, 'In its place', domain, natural_key from companies where campaign_id = ${live}`);
  expect(await forget()).toMatchObject({ done: false, moved: 0 });
  expect(await db.query(t`select name from companies where campaign_id = ${live}`)).toEqual([
    { name: '[erased]' },
  ]);
  expect(await tracesOf(db, email)).toEqual(['archive_chunks']);
  await inItsPlace(t`delete from companies where campaign_id = ${bad}`);
  expect(await forget()).toMatchObject({ done: true });
  expect(await tracesOf(db, email)).toEqual([]);
});
