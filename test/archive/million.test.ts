import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runArchive } from '../../core/archive/run.ts';
import { startArchive } from '../../core/archive/start.ts';
import { listContacts } from '../../core/contacts/list.ts';
import { upsertContacts } from '../../core/contacts/upsert.ts';
import { ContactQuery } from '../../core/contract/contacts.ts';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant } from '../support/factories.ts';

/**
 * A part of the million: `npm run bench -- archive` archives all of it among as many readers and writers, and measures
 * what they feel of it, which a test that shares its machine cannot.
 */
const contacts = 20_000;
const others = 1_000;
const readers = 8;
const writers = 4;

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase({ max: readers + writers });
  // Whoever waits longer than the deadlock timeout, a second, is in the server's log.
  await db.query(
    sql(
      't',
    )`do $body$ begin execute format('alter database %I set log_lock_waits = on', current_database()); end $body$`,
  );
  // Made slowly and of no use here: a delete leaves them alone.
  await db.query(sql('t')`drop index contacts_search, contacts_similar`);
});
afterAll(() => db.close());

function fill(tenantId: string, campaignId: string, count: number) {
  return db.query(sql('t')`
    insert into contacts (user_id, campaign_id, full_name, email, attributes, created_at)
    select ${tenantId}, ${campaignId}, 'Person ' || n, 'person-' || n || '@there.example', jsonb_build_object('n', n),
      now() - interval '1 day' + n / 1000 * interval '1 s'
    from generate_series(1, ${count}::int) n`);
}

/** Rows of the largest answer that came to the archiver: it moves what it never has in its own memory. */
function watched(inner: Db, seen: { most: number }): Db {
  return {
    async query<Row>(statement: Parameters<Db['query']>[0]) {
      const rows = await inner.query<Row>(statement);
      seen.most = Math.max(seen.most, rows.length);
      return rows;
    },
    transaction: (work) => inner.transaction((tx) => work(watched(tx, seen))),
  };
}

test('20,000 contacts go into the archive while others read and write, and nobody waits for it or loses a row', async () => {
  const tenantId = await aTenant(db);
  const [campaignId, otherId] = [await aCampaign(db, tenantId), await aCampaign(db, tenantId)];
  await fill(tenantId, campaignId, contacts);
  await fill(tenantId, otherId, others);
  await db.query(sql('t')`analyze contacts`);
  const api = db.asApi.forTenant(tenantId);
  let going = true;
  let walks = 0;
  let written = 0;
  const read = async () => {
    do {
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const query = ContactQuery.parse({ campaignId: otherId, limit: 200, order: 'asc' });
        const page = await listContacts({ db: api }, tenantId, { ...query, ...(cursor ? { cursor } : {}) });
        for (const { fullName, id } of page.data) if (fullName.startsWith('Person')) seen.push(id);
        cursor = page.next ?? undefined;
      } while (cursor !== undefined);
      expect([seen.length, new Set(seen).size]).toEqual([others, others]);
      walks++;
    } while (going);
  };
  const write = async (writer: number) => {
    for (let call = 0; going; call++) {
      const rows = Array.from({ length: 5 }, (_, n) => ({
        email: `new-${writer}-${call}-${n}@here.example`,
      }));
      const { results } = await upsertContacts({ db: api }, tenantId, { campaignId: otherId, rows });
      written += results.filter(({ status }) => status === 'created').length;
      // Else the campaign grows faster than its readers walk.
      await sleep(20);
    }
  };
  const waits: number[] = [];
  const seen = { most: 0 };
  await startArchive(api, tenantId, campaignId, { cancelOpenJobs: false });
  const users = [
    ...Array.from({ length: readers }, read),
    ...Array.from({ length: writers }, (_, n) => write(n)),
  ];
  const ran = await runArchive(
    {
      ...{ db: watched(db.asWorker, seen), log: { info: () => undefined }, clock: Date.now },
      sleep: (ms) => {
        waits.push(ms);
        return sleep(ms);
      },
    },
    campaignId,
    { remainingMs: () => 120_000 },
  ).finally(() => {
    going = false;
  });
  // A deadlock would have ended one of them with an error.
  await Promise.all(users);

  expect(ran).toMatchObject({ done: true, rows: contacts });
  const [counts] = await db.query<Record<string, number>>(sql('t')`
    select (select count(*) from contacts where campaign_id = ${campaignId}) as left,
      (select sum(aim.chunk_size(rows)) from archive_chunks where archive_id = ${campaignId})::bigint as kept,
      (select count(*) from contacts where campaign_id = ${otherId}) as others,
      (select max(rows) from (
        select sum(row_count) as rows from archive_chunks where archive_id = ${campaignId} group by xmin::text
      ) of_a_transaction)::bigint as most`);
  expect(counts).toMatchObject({ left: 0, kept: contacts, others: others + written });
  expect(counts?.most).toBeLessThanOrEqual(5_000);
  expect(walks).toBeGreaterThanOrEqual(readers);
  expect(written).toBeGreaterThan(0);
  // It saw that it is not alone, and made way.
  expect(waits.filter((ms) => ms > 0).length).toBeGreaterThan(0);
  expect(seen.most).toBeLessThan(30);
  expect(readFileSync(join(process.env.TEST_HOME ?? '', 'postgres.log'), 'utf8')).not.toMatch(
    /still waiting for/,
  );
}, 180_000);
