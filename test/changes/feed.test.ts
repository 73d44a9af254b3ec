import { maintainChanges } from '../../core/changes/maintain.ts';
import { position } from '../../core/changes/position.ts';
import { readChanges } from '../../core/changes/read.ts';
import type { Change } from '../../core/contract/changes.ts';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { aClient, anApi, type Client } from '../api/client.ts';
import { archived, restored } from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aProvider, aTenant, someCompanies } from '../support/factories.ts';
import { horizonPassed } from '../support/horizon.ts';

let db: TestDatabase;
let client: Client;
beforeAll(async () => {
  db = await testDatabase({ max: 6 });
  client = await aClient(db, anApi(db.asApi));
});
afterAll(() => db.close());

const here = async (who = client): Promise<string> => {
  await horizonPassed(db);
  return (await who.get('/v1/changes')).body.next;
};

/** Follows until `count` changes have come; other databases of the cluster may hold the feed up for a moment. */
async function follow(after: string, count: number, { query = '', who = client } = {}) {
  const changes: Change[] = [];
  let next = after;
  for (let look = 0; changes.length < count && look < 10; look++) {
    const { status, body } = await who.get(`/v1/changes?after=${next}&wait=2${query}`);
    expect(status).toBe(200);
    changes.push(...body.data);
    next = body.next;
  }
  return { changes, next };
}
const brief = (changes: Change[]) => changes.map(({ entity, op, ids }) => `${entity} ${op} ${ids.length}`);

test('each statement is one change for a campaign and an operation, in the order of commits', async () => {
  const after = await here();
  const { tenantId } = client;
  const campaignId = await aCampaign(db, tenantId);
  const companyIds = await someCompanies(db, tenantId, campaignId, 3);
  await db.query(sql('test.rename')`
    update companies set name = 'New name', version = version + 1 where campaign_id = ${campaignId}`);
  await db.query(sql('test.delete')`delete from companies where id = ${companyIds[0]}`);
  const { changes } = await follow(after, 4);
  expect(brief(changes)).toEqual([
    'campaign insert 1',
    'company insert 3',
    'company update 3',
    'company delete 1',
  ]);
  expect(changes[1]).toMatchObject({ campaignId, ids: expect.arrayContaining(companyIds) });
  expect(new Set(changes.map((change) => change.id)).size).toBe(4);
});

test('an upsert names created rows as inserted and changed ones as updated, each once', async () => {
  const campaignId = await aCampaign(db, client.tenantId);
  const rows = (names: string[]) => names.map((name) => ({ name, domain: `${name}.example` }));
  await client.post('/v1/companies/bulk', { campaignId, rows: rows(['one', 'two']) });
  const after = await here();
  const mixed = [{ name: 'Uno', domain: 'one.example' }, ...rows(['two', 'three'])];
  await client.post('/v1/companies/bulk', { campaignId, rows: mixed });
  expect(brief((await follow(after, 2)).changes).sort()).toEqual(['company insert 1', 'company update 1']);
});

test('a statement over many rows makes changes of up to 1,000 ids, read in parts that a limit cuts', async () => {
  const campaignId = await aCampaign(db, client.tenantId);
  const after = await here();
  const ids = await someCompanies(db, client.tenantId, campaignId, 2_500);
  // Three changes in nine answers; an answer that ends one change begins the next.
  const { changes } = await follow(after, 11, { query: '&limit=300' });
  const read = changes.flatMap((change) => change.ids);
  expect([read.length, new Set(read).size, read.every((id) => ids.includes(id))]).toEqual([
    2_500,
    2_500,
    true,
  ]);
  expect(changes.every((change) => change.ids.length <= 300)).toBe(true);
  expect(new Set(changes.map((change) => change.id)).size).toBe(changes.length);
});

test('what a counter, a search vector or a claim does is no change', async () => {
  const campaignId = await aCampaign(db, client.tenantId);
  const [company = ''] = await someCompanies(db, client.tenantId, campaignId, 1);
  const provider = await aProvider(db, client.tenantId, { name: 'quiet' });
  const after = await here();
  await db.query(
    sql(
      'test.fold',
    )`update campaigns set companies_count = 7, counts_checked_at = now() where id = ${campaignId}`,
  );
  await db.query(sql('test.touch')`update companies set name = name where id = ${company}`);
  await db.query(
    sql(
      'test.permits',
    )`update research_providers set permits = 3, permits_at = now() where id = ${provider.id}`,
  );
  await db.query(
    sql('test.last')`update campaigns set name = 'Renamed', version = version + 1 where id = ${campaignId}`,
  );
  expect(brief((await follow(after, 1)).changes)).toEqual(['campaign update 1']);
});

test('jobs tell the states they reach: queued, ended, and queued again by a person', async () => {
  const campaignId = await aCampaign(db, client.tenantId);
  await someCompanies(db, client.tenantId, campaignId, 2);
  const provider = await aProvider(db, client.tenantId, { name: 'states' });
  const after = await here();
  await db.query(sql('test.batch')`
    with batch as (
      insert into research_batches (user_id, campaign_id, provider_id, kind)
      values (${client.tenantId}, ${campaignId}, ${provider.id}, 'company') returning id
    )
    insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind)
    select ${client.tenantId}, batch.id, c.id, ${campaignId}, ${provider.id}, 'company'
    from batch, companies c where c.campaign_id = ${campaignId}`);
  const every = async (set: string) =>
    db.query({
      statement: 'test.set',
      text: `update research_jobs set ${set} where campaign_id = $1`,
      values: [campaignId],
    });
  await every('fed_until = now()');
  await every("status = 'processing', attempt_id = uuidv7(), lease_until = now(), fed_until = null");
  await every("status = 'queued', lease_until = null, run_at = now() + interval '1 hour'");
  await every("status = 'failed', error_code = 'x', finished_at = now()");
  await every("status = 'queued', finished_at = null");
  const { changes } = await follow(after, 4);
  expect(brief(changes)).toEqual(['batch insert 1', 'job queued 2', 'job failed 2', 'job queued 2']);
});

test('archiving a campaign of 10,000 rows, restoring it and deleting it is one change each', async () => {
  const campaignId = await aCampaign(db, client.tenantId);
  await someCompanies(db, client.tenantId, campaignId, 10_000);
  const after = await here();
  const set = (what: string) =>
    db.query({
      statement: 'test.set',
      text: `update campaigns set ${what} where id = $1`,
      values: [campaignId],
    });
  const archiveId = await archived(db, client.tenantId, campaignId);
  await restored(db, client.tenantId, archiveId);
  await set('deleted_at = now(), version = version + 1');
  await db.query(sql('test.gone')`delete from campaigns where id = ${campaignId}`);
  const { changes } = await follow(after, 3);
  const ours = changes.filter((change) => change.campaignId === campaignId && change.entity === 'campaign');
  expect(brief(ours)).toEqual(['campaign archive 1', 'campaign restore 1', 'campaign delete 1']);
  expect(changes.length).toBe(3);
});

test('a transaction that is rolled back leaves nothing; a slow one holds the feed up and is not passed over', async () => {
  const campaignId = await aCampaign(db, client.tenantId);
  const after = await here();
  const rolledBack = db.transaction(async (tx) => {
    await someCompanies(tx, client.tenantId, campaignId, 1);
    throw new Error('changed my mind');
  });
  await expect(rolledBack).rejects.toThrow('changed my mind');

  let finish = (): void => undefined;
  let written = (): void => undefined;
  const isWritten = new Promise<void>((resolve) => {
    written = resolve;
  });
  const slow = db.transaction(async (tx) => {
    await tx.query(
      sql('test.slow')`update campaigns set name = 'slow', version = version + 1 where id = ${campaignId}`,
    );
    written();
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
  });
  await isWritten;
  await someCompanies(db, client.tenantId, campaignId, 2);
  const { body } = await client.get(`/v1/changes?after=${after}`);
  expect(body.data).toEqual([]);
  finish();
  await slow;
  expect(brief((await follow(body.next, 2)).changes)).toEqual(['campaign update 1', 'company insert 2']);
});

test('a long poll ends with the change it waits for', async () => {
  const after = await here();
  const waiting = client.get(`/v1/changes?after=${after}&wait=20`);
  const campaignId = await aCampaign(db, client.tenantId);
  const { body } = await waiting;
  expect(body.data).toMatchObject([{ entity: 'campaign', op: 'insert', ids: [campaignId] }]);
});

test('a filter leaves out what it does not want, and moves on all the same', async () => {
  const campaignId = await aCampaign(db, client.tenantId);
  const after = await here();
  await someCompanies(db, client.tenantId, campaignId, 2);
  await aProvider(db, client.tenantId, { name: 'filtered' });
  const { changes } = await follow(after, 1, { query: '&entity=provider' });
  expect(brief(changes)).toEqual(['provider insert 1']);
  const ofCampaign = await follow(after, 1, { query: `&campaignId=${campaignId}` });
  expect(brief(ofCampaign.changes)).toEqual(['company insert 2']);
});

test('a long poll looks at all that there is before it waits, however much its filter leaves out', async () => {
  const campaignId = await aCampaign(db, client.tenantId);
  const after = await here();
  await db.query(sql('t')`
    insert into changes (user_id, campaign_id, entity, op, ids)
    select ${client.tenantId}, ${campaignId}, 'job', 'completed', array[gen_random_uuid()] from generate_series(1, 30000)`);
  await client.send('PATCH', `/v1/campaigns/${campaignId}`, { name: 'Renamed' });
  await horizonPassed(db);
  // More reads than a poll that pauses between them has time for.
  const { body } = await client.get(`/v1/changes?after=${after}&entity=campaign&wait=20`);
  expect(brief(body.data)).toEqual(['campaign update 1']);
  expect(Object.keys(body)).toEqual(['data', 'next']);
}, 30_000);

test('nobody reads the changes of another tenant, with whatever position', async () => {
  const other = await aClient(db, anApi(db.asApi));
  const after = await here(other);
  const campaignId = await aCampaign(db, client.tenantId);
  await follow(after, 1);
  const { body } = await other.get(`/v1/changes?after=${after}&campaignId=${campaignId}`);
  expect(body.data).toEqual([]);
});

test.each([
  ['junk', 'abc'],
  ['a page’s cursor', Buffer.from('{"v":1}').toString('base64url')],
  [
    'numbers beyond 64 bits',
    Buffer.from('[1,"1-00000001","99999999999999999999",0,0]').toString('base64url'),
  ],
])('a position that is %s is a 400', async (_, after) => {
  expect(await client.get(`/v1/changes?after=${after}`)).toMatchObject({
    status: 400,
    body: { code: 'invalid_cursor' },
  });
});

test('a position of another cluster, or ahead of this one, is a 410 that says what to do', async () => {
  const [, epoch, xid] = JSON.parse(Buffer.from(await here(), 'base64url').toString());
  for (const place of [
    [1, epoch.replace(/\d{8}$/, '0000000F'), xid, 0, 0],
    [1, epoch, '9223372036854775807', 0, 0],
  ]) {
    const after = Buffer.from(JSON.stringify(place)).toString('base64url');
    const reply = await client.get(`/v1/changes?after=${after}`);
    expect(reply).toMatchObject({ status: 410, body: { code: 'cursor_expired' } });
    expect(reply.body.detail).toContain('follow=true');
  }
});

describe('partitions', () => {
  const log = { info: () => undefined, warn: () => undefined };
  const days = async (on: Db) =>
    (
      await on.query<{ name: string }>(sql('test.partitions')`
        select inhrelid::regclass::text as name from pg_inherits where inhparent = 'public.changes'::regclass order by 1`)
    ).map((row) => row.name);

  test('there is one for each of the next 14 days, and a default', async () => {
    expect(await days(db)).toHaveLength(16);
    await maintainChanges({ db: db.asWorker, log });
    expect(await days(db)).toHaveLength(16);
  });

  test('rows that fell into the default move into the partition that is made for them', async () => {
    const own = await testDatabase();
    const last = (await days(own)).at(-2) ?? '';
    await own.query({ statement: 'test.drop', text: `drop table ${last}`, values: [] });
    const tenantId = await aTenant(own);
    await own.query({
      statement: 'test.late',
      text: `insert into changes (at, user_id, entity, op, ids)
        values (to_date($1, 'YYYYMMDD'), $2, 'provider', 'insert', array[uuidv7()])`,
      values: [last.slice(-8), tenantId],
    });
    const where = () => own.query(sql('test.where')`select tableoid::regclass::text as name from changes`);
    expect(await where()).toEqual([{ name: 'aim.changes_default' }]);
    await maintainChanges({ db: own.asWorker, log });
    expect(await where()).toEqual([{ name: last }]);
    await own.close();
  });

  test('past retention a day goes, and whoever had not read it is told', async () => {
    const own = await testDatabase();
    const tenantId = await aTenant(own);
    const bound = own.asApi.forTenant(tenantId);
    const before = await position({ db: bound });
    await own.query({
      statement: 'test.old',
      text: `create table aim.changes_20200101 partition of changes for values from ('2020-01-01') to ('2020-01-02')`,
      values: [],
    });
    await own.query(sql('test.old')`
      insert into changes (at, user_id, entity, op, ids) values ('2020-01-01', ${tenantId}, 'provider', 'insert', array[uuidv7()])`);
    await horizonPassed(own);
    const kept = await position({ db: bound });
    await maintainChanges({ db: own.asWorker, log });
    expect(await days(own)).not.toContain('aim.changes_20200101');
    const read = (after: string) => readChanges({ db: bound }, tenantId, { after, limit: 10 });
    await expect(read(before)).rejects.toMatchObject({ code: 'cursor_expired', status: 410 });
    expect((await read(kept)).data).toEqual([]);
    await own.close();
  });

  test('changes of days that had no partition go too, a part a sweep, and whoever had not read them is told', async () => {
    const own = await testDatabase();
    const tenantId = await aTenant(own);
    const bound = own.asApi.forTenant(tenantId);
    const write = (daysAgo: number, rows: number) =>
      own.query(sql('test.write')`
        insert into changes (at, user_id, entity, op, ids)
        select now() - make_interval(days => ${daysAgo}), ${tenantId}, 'provider', 'insert', array[uuidv7()]
        from generate_series(1, ${rows}::int)`);
    const left = async () =>
      (await own.query(sql('test.left')`select from aim.changes_default where user_id = ${tenantId}`)).length;
    const read = (after: string) => readChanges({ db: bound }, tenantId, { after, limit: 10 });

    const before = await position({ db: bound });
    await write(40, 10_001);
    await horizonPassed(own);
    const between = await position({ db: bound });
    await write(2, 1);
    await horizonPassed(own);
    expect(await left()).toBe(10_002);

    await maintainChanges({ db: own.asWorker, log });
    expect(await left()).toBe(2);
    await expect(read(before)).rejects.toMatchObject({ code: 'cursor_expired', status: 410 });
    expect((await read(between)).data).toHaveLength(1);
    await maintainChanges({ db: own.asWorker, log });
    await maintainChanges({ db: own.asWorker, log });
    expect(await left()).toBe(1);
    expect((await read(between)).data).toHaveLength(1);
    await own.close();
  });

  test('a day is one of UTC, whatever the time zone of the session that makes it', async () => {
    const own = await testDatabase();
    const ahead = await own.asWorker.transaction(async (tx) => {
      await tx.query(sql('test.zone')`select set_config('timezone', 'Pacific/Auckland', true)`);
      return tx.query(
        sql('test.ahead')`select aim.make_change_partitions(16) as made, aim.prune_changes(14) as pruned`,
      );
    });
    expect(ahead).toEqual([{ made: 2, pruned: 0 }]);
    const [last] = await own.query<{ name: string; bounds: string }>(sql('test.last')`
      select relname as name, pg_get_expr(relpartbound, oid) as bounds from pg_class
      where relname ~ '^changes_2' and relkind = 'r' order by relname desc limit 1`);
    const day = last?.name.replace(/^changes_(....)(..)(..)$/, '$1-$2-$3');
    expect(last?.bounds).toContain(`FROM ('${day} 00:00:00+00')`);
    await own.close();
  });

  test.each(['America/Los_Angeles', 'Asia/Tokyo'])(
    'days leave neither a gap nor an overlap beside one that was made in %s',
    async (zone) => {
      const own = await testDatabase();
      await own.transaction(async (tx) => {
        await tx.query(sql('test.zone')`select set_config('timezone', ${zone}, true)`);
        await tx.query(sql('test.day')`
          do $body$
          declare
            part text;
          begin
            for part in select inhrelid::regclass from pg_inherits
              where inhparent = 'public.changes'::regclass and inhrelid <> 'aim.changes_default'::regclass
            loop
              execute format('drop table %s', part);
            end loop;
            execute format('create table aim.%I partition of changes for values from (%L) to (%L)',
              to_char(current_date, '"changes_"YYYYMMDD'), current_date, current_date + 1);
          end
          $body$`);
      });
      await maintainChanges({ db: own.asWorker, log });
      const tenantId = await aTenant(own);
      await own.query(sql('test.hours')`
        insert into changes (at, user_id, entity, op, ids)
        select now() + make_interval(hours => n), ${tenantId}, 'provider', 'insert', array[uuidv7()]
        from generate_series(0, 13 * 24) n`);
      expect(await own.query(sql('test.lost')`select at from aim.changes_default`)).toEqual([]);
      await own.close();
    },
  );
});
