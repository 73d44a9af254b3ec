import { maintainChanges } from '../../core/changes/maintain.ts';
import { position } from '../../core/changes/position.ts';
import { readChanges } from '../../core/changes/read.ts';
import { validate } from '../../core/changes/validate.ts';
import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aTenant } from '../support/factories.ts';
import { horizonPassed } from '../support/horizon.ts';

let db: TestDatabase;
let tenantId: string;
beforeEach(async () => {
  db = await testDatabase();
  tenantId = await aTenant(db);
});
afterEach(() => db.close());
const bound = () => ({ db: db.asApi.forTenant(tenantId) });
const write = (entity: string, rows: number, ids = 1) =>
  db.query(sql('test.write')`
    insert into changes (user_id, entity, op, ids)
    select ${tenantId}, ${entity}, 'insert', array(select uuidv7() from generate_series(1, ${ids}::int + 0 * n))
    from generate_series(1, ${rows}::int) n`);

/** Follows to the end. @returns the ids that came, and how many answers it took */
async function follow(after: string, query: { limit: number; entity?: 'provider' }) {
  await horizonPassed(db);
  const ids: string[] = [];
  let answers = 0;
  for (let next = after, last = ''; next !== last && answers < 60; answers++) {
    last = next;
    const page = await readChanges(bound(), tenantId, { ...query, after: next });
    ids.push(...page.data.flatMap((change) => change.ids));
    ({ next } = page);
  }
  return { ids, answers };
}

test('whoever follows one kind behind thousands of changes of another gets what he wants, by short answers', async () => {
  const before = await position(bound());
  await write('company', 2_500);
  await write('provider', 3);
  await write('company', 1_200);
  await write('provider', 2);
  const { ids, answers } = await follow(before, { limit: 100, entity: 'provider' });
  expect([ids.length, new Set(ids).size]).toEqual([5, 5]);
  expect(answers).toBeGreaterThan(3);
});

test.each([50, 999, 1_000, 1_001])('with a limit of %i nothing is left out or comes twice', async (limit) => {
  const before = await position(bound());
  await write('company', 1_003);
  await write('company', 2, 900);
  const all = await follow(before, { limit });
  expect([all.ids.length, new Set(all.ids).size]).toEqual([2_803, 2_803]);
});

test('a position at what was the last to be pruned is too old, one behind it is not', async () => {
  await write('company', 1);
  await horizonPassed(db);
  const [kept] = await db.query<{ xid: string }>(sql('test.xid')`select xid::text as xid from changes`);
  const here = await position(bound());
  const [version, epoch] = JSON.parse(Buffer.from(here, 'base64url').toString());
  const at = (xid: string) => Buffer.from(JSON.stringify([version, epoch, xid, 0, 0])).toString('base64url');
  await db.query(sql('test.floor')`update change_floor set xid = ${kept?.xid}::xid8`);
  const read = (after: string) => readChanges(bound(), tenantId, { after, limit: 10 });
  await expect(read(at(kept?.xid ?? ''))).rejects.toMatchObject({ code: 'cursor_expired' });
  expect((await read(here)).data).toEqual([]);
});

test('what was pruned raises the floor to its highest number, and nothing lowers it again', async () => {
  const floor = async () =>
    (await db.query<{ xid: string }>(sql('test.floor')`select xid::text as xid from change_floor`))[0]?.xid;
  const old = (days: number) =>
    db.query<{ xid: string }>(sql('test.old')`
      insert into changes (at, user_id, entity, op, ids)
      values (now() - make_interval(days => ${days}), ${tenantId}, 'provider', 'insert', array[uuidv7()]) returning xid::text as xid`);
  // The later one is written first in the table, and the highest is neither first nor last.
  const numbers: string[] = [];
  for (const days of [40, 42, 41]) numbers.push((await old(days))[0]?.xid ?? '');
  await db.query(sql('test.swap')`
    with moved as (delete from aim.changes_default where xid::text = ${numbers[0]} returning *)
    insert into aim.changes_default select * from moved`);
  const log = { info: () => undefined, warn: () => undefined };
  await maintainChanges({ db: db.asWorker, log });
  expect(await floor()).toBe(numbers[2]);
  await db.query(sql('test.high')`update change_floor set xid = pg_snapshot_xmax(pg_current_snapshot())`);
  const high = await floor();
  await db.query(sql('test.lower')`
    insert into aim.changes_default (at, xid, seq, user_id, entity, op, ids)
    values (now() - interval '40 days', '5', 1, ${tenantId}, 'provider', 'insert', array[uuidv7()])`);
  await maintainChanges({ db: db.asWorker, log });
  expect(await floor()).toBe(high);
});

test('a feed that is held up for long is told of, and one that is not is not', async () => {
  const warned: unknown[] = [];
  const log = { info: () => undefined, warn: (event: string) => void warned.push(event) };
  await horizonPassed(db);
  await maintainChanges({ db: db.asWorker, log });
  expect(warned).toEqual([]);
  await db.transaction(async (tx) => {
    await tx.query(sql('test.begun')`select pg_current_xact_id()`);
    await db.query(sql('test.mark')`
      update change_floor set mark = pg_snapshot_xmax(pg_current_snapshot()), marked_at = now() - interval '4 minutes'`);
    await maintainChanges({ db: db.asWorker, log });
    expect(warned).toEqual([]);
    await db.query(sql('test.long')`update change_floor set marked_at = now() - interval '6 minutes'`);
    await maintainChanges({ db: db.asWorker, log });
    expect(warned).toEqual(['changes.delayed']);
  });
  await horizonPassed(db);
  await maintainChanges({ db: db.asWorker, log });
  expect(warned).toHaveLength(1);
});

test('a copy stands in its own cluster and line of history alone, and never before it was read', async () => {
  await horizonPassed(db);
  const subject = ['/v1/campaigns'];
  const { tag } = await validate(bound(), tenantId, subject, undefined);
  const stands = async (given: string) => (await validate(bound(), tenantId, subject, given)).stands;
  expect(await stands(tag)).toBe(true);
  expect(await stands(tag.replace(/-[0-9A-F]{8}\./, '-0000000F.'))).toBe(false);
  expect(await stands(tag.replace(/\.\d+\./, '.9000000000000000000.'))).toBe(false);
});
