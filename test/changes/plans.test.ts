import type { Reads } from '../../bench/schema/explain.ts';
import { position } from '../../core/changes/position.ts';
import { readChanges } from '../../core/changes/read.ts';
import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant, someCompanies } from '../support/factories.ts';
import { horizonPassed } from '../support/horizon.ts';
import { explaining } from '../support/reads.ts';

/** Statistics know a hundred other tenants; who is asked about came later. */
let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
  await eachPartition('set (autovacuum_enabled = off)');
  for (let n = 0; n < 100; n++) {
    const tenantId = await aTenant(db);
    await change(tenantId, { changes: 50, ids: 1 });
  }
  await db.query({ statement: 't', text: 'analyze', values: [] });
}, 60_000);
afterAll(() => db.close());

const eachPartition = (what: string) =>
  db.query({
    statement: 't',
    text: `do $$ declare part regclass; begin
      for part in select inhrelid::regclass from pg_inherits where inhparent = 'changes'::regclass loop
        execute format('alter table %s ${what}', part);
      end loop;
    end $$`,
    values: [],
  });

const change = (tenantId: string, { changes, ids }: { changes: number; ids: number }) =>
  db.query(sql('t')`
    insert into changes (user_id, entity, op, ids)
    select ${tenantId}, 'company', 'update', (select array_agg(uuidv7()) from generate_series(1, ${ids}::int + 0 * n))
    from generate_series(1, ${changes}::int) n`);

/** The changes of a new tenant, and what an answer of `limit` ids about them read. */
async function read(made: { changes: number; ids: number }, limit: number) {
  const tenantId = await aTenant(db);
  const tenant = db.asApi.forTenant(tenantId);
  await horizonPassed(db);
  const after = await position({ db: tenant });
  await change(tenantId, made);
  await horizonPassed(db);
  const reads = new Map<string, Reads[]>();
  const page = await readChanges({ db: explaining(tenant, reads) }, tenantId, { after, limit });
  const [seen] = reads.get('changes.read') ?? [];
  if (!seen) throw new Error('the feed was not read');
  return { ids: page.data.flatMap((each) => each.ids), seen };
}

test('an answer of the feed reads a thousand changes and not all that a tenant has behind them', async () => {
  const { ids, seen } = await read({ changes: 20_000, ids: 1 }, 100);
  expect(ids).toHaveLength(100);
  // Each is given by the index and once more by the window over them.
  expect(seen.rows).toBeLessThan(2_100);
});

test('an answer of the feed does not open changes that it has no room for', async () => {
  const { ids, seen } = await read({ changes: 1_000, ids: 1_000 }, 100);
  expect(ids).toHaveLength(100);
  // The index and the rows; their ids, which lie beside them, are two buffers or more of each.
  expect(seen.buffers).toBeLessThan(500);
});

test('how many ids a change has follows from its size, wherever and whenever its partition was made', async () => {
  const tenantId = await aTenant(db);
  const campaignId = await aCampaign(db, tenantId);
  for (const [n, count] of [1, 2, 6, 7, 120, 130, 999, 1_000].entries())
    await someCompanies(db, tenantId, campaignId, count, { from: 1 + n * 1_000 });
  await db.query(sql('t')`
    insert into changes (at, user_id, entity, op, ids)
    select now() + d * interval '1 day', user_id, entity, op, ids
    from changes, unnest(array[1, 16, 400]) d where user_id = ${tenantId} and entity = 'company'`);
  // Those of the seventeenth day move there out of the default, where those of a year ahead stay.
  await db.query(sql('t')`select aim.make_change_partitions(17)`);
  const sizes = await db.query<{ ids: number; places: number }>(sql('t')`
    select cardinality(ids) as ids, count(distinct tableoid)::int as places from changes
    where user_id = ${tenantId} and entity = 'company' and (pg_column_size(ids) - 20) / 16 = cardinality(ids)
    group by 1 order by 1`);
  expect(sizes).toEqual([1, 2, 6, 7, 120, 130, 999, 1_000].map((ids) => ({ ids, places: 4 })));
});

test('ids that an older partition has compressed are read whole, and cut by the limit as ever', async () => {
  await eachPartition('alter column ids set storage extended');
  const tenantId = await aTenant(db);
  const tenant = db.asApi.forTenant(tenantId);
  await horizonPassed(db);
  let after = await position({ db: tenant });
  await db.query(sql('t')`
    insert into changes (user_id, entity, op, ids)
    select ${tenantId}, 'company', 'update', array_fill(${tenantId}::uuid, array[1000]) from generate_series(1, 3)`);
  const [stored] = await db.query<{ bytes: number }>(sql('t')`
    select max(pg_column_size(ids)) as bytes from changes where user_id = ${tenantId}`);
  expect(stored?.bytes).toBeLessThan(1_000);
  await horizonPassed(db);
  const read: number[] = [];
  while (read.at(-1) !== 0) {
    const page = await readChanges({ db: tenant }, tenantId, { after, limit: 1_300 });
    read.push(page.data.reduce((sum, { ids }) => sum + ids.length, 0));
    after = page.next;
  }
  expect(read).toEqual([1_300, 1_300, 400, 0]);
  await eachPartition('alter column ids set storage external');
});
