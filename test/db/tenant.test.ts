import { type Connection, connect, DatabaseUnavailable, type Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aTenant } from '../support/factories.ts';
import { aRelay } from '../support/relay.ts';

let db: TestDatabase;
let single: Connection;
let one: string;
let other: string;
beforeAll(async () => {
  db = await testDatabase();
  single = connect(db.url, { max: 1 });
  [one, other] = [await aTenant(db), await aTenant(db)];
});
afterAll(async () => {
  await single.close();
  await db.close();
});

const asked = sql('test.who');
async function whoIs(at: Db): Promise<string | null> {
  const [row] = await at.query<{ tenant: string | null }>(asked`
    select nullif(current_setting('request.jwt.claim.sub', true), '') as tenant`);
  return row?.tenant ?? null;
}
const state = async (): Promise<unknown> =>
  (
    await single.query(sql('test.state')`
      select pg_current_xact_id_if_assigned() is null and now() = statement_timestamp() as fresh`)
  )[0];

test('a statement and a transaction know their tenant, and the next user of the connection none', async () => {
  expect(await whoIs(single.forTenant(one))).toBe(one);
  expect(await whoIs(single)).toBeNull();
  await single.forTenant(one).transaction(async (tx) => {
    expect(await whoIs(tx)).toBe(one);
    await tx.transaction(async (nested) => expect(await whoIs(nested)).toBe(one));
  });
  expect(await whoIs(single)).toBeNull();
  expect(await whoIs(single.forTenant(other))).toBe(other);
  expect(await state()).toEqual({ fresh: true });
});

test('rows, parameters and types of a bound statement are those of any other', async () => {
  const statement = sql('test.types')`
    select ${'Grüße'}::text as text, ${null}::int as nothing, ${[1, 2]}::int[] as list, 9007199254740991 as big,
      timestamptz '2026-01-02 03:04:05.123456+00' as at, ${Buffer.from([1, 0])}::bytea as bytes
    from generate_series(1, 2)`;
  const bound = await single.forTenant(one).query(statement);
  expect(bound).toHaveLength(2);
  expect(bound).toEqual(await single.query(statement));
  expect(await single.forTenant(one).query(sql('test.none')`select 1 as one where false`)).toEqual([]);
});

test('a bound write is committed, and leaves nothing of itself when it fails', async () => {
  const bound = single.forTenant(one);
  const [row] = await bound.query<{ id: string }>(sql('test.write')`
    insert into campaigns (user_id, name) values (${one}, 'Kept') returning id`);
  const again = sql('test.twice')`
    insert into campaigns (id, user_id, name) select ${row?.id}::uuid, ${one}, 'Again' from generate_series(1, 1)`;
  await expect(bound.query(again)).rejects.toMatchObject({ code: '23505' });
  expect(await whoIs(single)).toBeNull();
  expect(await bound.query(sql('test.count')`select name from campaigns`)).toEqual([{ name: 'Kept' }]);
});

test.each([
  ['a wrong text', sql('test.bad')`selekt`, '42601'],
  ['a wrong value', sql('test.bad')`select ${'x'}::uuid`, '22P02'],
  ['an error after rows', sql('test.bad')`select 1 / (3 - n) from generate_series(1, 5) n`, '22012'],
])('%s is refused, and the same connection goes on, for nobody', async (_, statement, code) => {
  const pid = async () => (await single.query(sql('test.pid')`select pg_backend_pid() as pid`))[0];
  const before = await pid();
  await expect(single.forTenant(one).query(statement)).rejects.toMatchObject({ code });
  expect(await whoIs(single)).toBeNull();
  await expect(single.forTenant(one).transaction((tx) => tx.query(statement))).rejects.toMatchObject({
    code,
  });
  expect(await whoIs(single)).toBeNull();
  expect(await state()).toEqual({ fresh: true });
  expect(await pid()).toEqual(before);
});

test('a value that cannot be sent fails its own statement alone', async () => {
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  await expect(single.forTenant(one).query(sql('test.circular')`select ${circular}::json`)).rejects.toThrow(
    TypeError,
  );
  expect(await whoIs(single.forTenant(other))).toBe(other);
  expect(await whoIs(single)).toBeNull();
});

test('a tenant that is no UUID is refused before anything is sent', () => {
  for (const id of [
    '',
    "'; drop table campaigns; --",
    `${one}' `,
    'ABCDEF01-0000-7000-8000-000000000000',
    `${one}\n`,
  ]) {
    expect(() => single.forTenant(id)).toThrow(TypeError);
  }
});

test('under concurrency every statement sees its own tenant', async () => {
  const shared = connect(db.url, { max: 2 });
  const tenants = [one, other, null];
  const seen = await Promise.all(
    Array.from({ length: 300 }, async (_, n) => {
      const wanted = tenants[n % 3] ?? null;
      const at = wanted === null ? shared : shared.forTenant(wanted);
      if (n % 7 === 0) await at.query(sql('test.fail')`select 1 / 0`).catch(() => undefined);
      if (n % 5 === 0) {
        await at.transaction(async () => Promise.reject(new Error('on purpose'))).catch(() => undefined);
      }
      return [wanted, n % 2 ? await whoIs(at) : await at.transaction(whoIs)];
    }),
  );
  await shared.close();
  for (const [wanted, found] of seen) expect(found).toBe(wanted);
});

test('an error that was swallowed does not make a commit of a rollback', async () => {
  for (const at of [single, single.forTenant(one)]) {
    const lost = at.transaction(async (tx) => {
      await tx.query(sql('test.write')`insert into campaigns (user_id, name) values (${one}, 'Lost')`);
      await tx.query(sql('test.fail')`select 1 / 0`).catch(() => undefined);
    });
    await expect(lost).rejects.toThrow('was rolled back');
  }
  expect(await whoIs(single)).toBeNull();
});

test('a transaction that has ended takes no more statements', async () => {
  let kept: Db | undefined;
  await single.forTenant(one).transaction(async (tx) => {
    kept = tx;
  });
  await expect(whoIs(kept as Db)).rejects.toThrow('after the end of its transaction');
});

test('a statement beyond its time ends its connection, and the next gets a good one', async () => {
  const hasty = connect(db.url, { max: 1, statementTimeoutMs: 300 });
  const sleep = sql('test.sleep')`select pg_sleep(30)`;
  await expect(hasty.forTenant(one).query(sleep)).rejects.toBeInstanceOf(DatabaseUnavailable);
  expect(await whoIs(hasty)).toBeNull();
  await expect(hasty.forTenant(one).transaction((tx) => tx.query(sleep))).rejects.toBeInstanceOf(
    DatabaseUnavailable,
  );
  expect(await whoIs(hasty.forTenant(other))).toBe(other);
  await hasty.close();
});

test('a connection that is cut, idle in a transaction or not, is an unavailable database and not the end', async () => {
  const cut = (name: string) =>
    db.query(sql('test.cut')`
      select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = ${name}`);
  const url = new URL(db.url);
  url.searchParams.set('application_name', 'to-be-cut');
  const doomed = connect(url.href, { max: 1 });
  await whoIs(doomed);
  const idle = doomed.forTenant(one).transaction(async (tx) => {
    await cut('to-be-cut');
    await whoIs(tx);
  });
  await expect(idle).rejects.toBeInstanceOf(DatabaseUnavailable);
  const busy = doomed.forTenant(one).query(sql('test.sleep')`select pg_sleep(20)`);
  await Promise.all([expect(busy).rejects.toBeInstanceOf(DatabaseUnavailable), cutSoon(cut)]);
  expect(await whoIs(doomed.forTenant(other))).toBe(other);
  await doomed.close();
});

async function cutSoon(cut: (name: string) => Promise<unknown[]>): Promise<void> {
  for (;;) {
    const [running] = await db.query(sql('test.running')`
      select from pg_stat_activity where application_name = 'to-be-cut' and state = 'active' and query like '%pg_sleep%'`);
    if (running) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await cut('to-be-cut');
}

test('a database that falls silent is unavailable, whatever was asked last, and a new connection may reach it', async () => {
  const relay = await aRelay(new URL(db.url));
  const far = connect(relay.url, { max: 1, statementTimeoutMs: 300 });
  const bound = far.forTenant(one);
  const then = async (work: () => Promise<unknown>) => {
    relay.goSilent();
    await work();
  };
  for (const work of [
    () => then(() => whoIs(far)),
    () => then(() => whoIs(bound)),
    () => then(() => far.transaction(whoIs)),
    () => bound.transaction((tx) => then(() => whoIs(tx))),
    () => bound.transaction(() => then(async () => undefined)),
  ]) {
    await whoIs(far);
    await expect(work()).rejects.toBeInstanceOf(DatabaseUnavailable);
    expect(await whoIs(bound)).toBe(one);
  }
  await far.close();
  await relay.close();
});

test('a database that only reads, as one that was the primary, is unavailable, and its connection is not kept', async () => {
  const demoted = connect(db.url, { max: 1 });
  await demoted.query(sql('test.demote')`set default_transaction_read_only = on`);
  const write = sql('test.write')`insert into campaigns (user_id, name) values (${one}, 'Written')`;
  await expect(demoted.query(write)).rejects.toBeInstanceOf(DatabaseUnavailable);
  await demoted.query(write);
  await demoted.close();
});

test('two statements in one are refused, even without parameters', async () => {
  const both = sql('test.both')`commit; select 1`;
  await expect(single.forTenant(one).query(both)).rejects.toMatchObject({ code: '42601' });
});

test('a bound statement is one round trip', async () => {
  const relay = await aRelay(new URL(db.url));
  const far = connect(relay.url, { max: 1 });
  await whoIs(far);
  const turnsOf = async (work: () => Promise<unknown>) => {
    const before = relay.turns();
    await work();
    return relay.turns() - before;
  };
  expect(await turnsOf(() => whoIs(far))).toBe(1);
  expect(await turnsOf(() => whoIs(far.forTenant(one)))).toBe(1);
  expect(await turnsOf(() => far.forTenant(one).transaction(whoIs))).toBe(3);
  await far.close();
  await relay.close();
});
