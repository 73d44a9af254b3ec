import { createCampaign } from '../../core/campaigns/create.ts';
import { upsertContacts } from '../../core/contacts/upsert.ts';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import type { Row } from '../row.ts';
import { run } from './million.ts';

const rows = 200_000;
const rowsPerCall = 1_000;
const rowsPerTurn = 10_000;

/** What counters and the change feed cost a bulk upsert, and what the trigger of the first plan would. */
export async function* triggers(db: Db, tenantId: string): AsyncGenerator<Row> {
  const ours = await db.query<{ name: string }>(sql('bench.triggers')`
    select tgname as name from pg_trigger
    where tgrelid = 'contacts'::regclass and not tgisinternal and tgtype & 1 = 0`);
  const toggle = async (on: boolean) => {
    for (const { name } of ours) {
      await run(db, `alter table contacts ${on ? 'enable' : 'disable'} trigger ${name}`);
    }
  };
  // Both grow side by side, some calls each in turn, so that what grows slower with the table does so for both.
  const { id: on } = await createCampaign({ db }, tenantId, { name: 'with' });
  const { id: off } = await createCampaign({ db }, tenantId, { name: 'without' });
  const seconds = { on: 0, off: 0 };
  for (let from = 0; from < rows; from += rowsPerTurn) {
    await toggle(true);
    seconds.on += await upsert(db, tenantId, on, from);
    await toggle(false);
    seconds.off += await upsert(db, tenantId, off, from);
  }
  await toggle(true);
  for (const id of [on, off]) await run(db, `delete from contacts where campaign_id = '${id}'`);
  await run(db, 'vacuum contacts');
  const ratio = seconds.on / seconds.off;
  const plan = await countStar(db, tenantId);
  yield {
    name: `bulk upsert of ${rows} contacts with counters and change feed`,
    value: seconds.on,
    unit: 's',
    versus: 'the same without those triggers',
    ratio,
    target: '≤ 1.25 ×',
    holds: ratio <= 1.25 && ours.length > 0,
    counts: { triggers: ours.length, ...plan },
  };
}

async function upsert(db: Db, tenantId: string, campaignId: string, first: number): Promise<number> {
  const startedAt = performance.now();
  for (let from = first; from < first + rowsPerTurn; from += rowsPerCall) {
    await upsertContacts({ db }, tenantId, { campaignId, rows: someRows(from, rowsPerCall) });
  }
  return (performance.now() - startedAt) / 1000;
}

export function someRows(from: number, count: number): { fullName: string; email: string; title: string }[] {
  return Array.from({ length: count }, (_, n) => ({
    fullName: `Person ${from + n} Example`,
    email: `person-${from + n}@bench.example`,
    title: 'Head of Sales',
  }));
}

/** The plan's trigger counts all rows again for each row: 200 rows into a campaign of 100,000, both ways. */
async function countStar(db: Db, tenantId: string): Promise<Record<string, number>> {
  const { id: campaignId } = await createCampaign({ db }, tenantId, { name: 'count' });
  await run(
    db,
    `insert into contacts (user_id, campaign_id, full_name, email)
     select '${tenantId}', '${campaignId}', 'Person ' || n, 'count-' || n || '@bench.example' from generate_series(1, 100000) n`,
  );
  await run(db, 'vacuum analyze contacts');
  const add = async (from: number) => {
    const startedAt = performance.now();
    await upsertContacts({ db }, tenantId, { campaignId, rows: someRows(from, 200) });
    return Math.round(performance.now() - startedAt);
  };
  const ours = await add(0);
  await run(
    db,
    `create function bench_count() returns trigger language plpgsql as $body$ begin
       update campaigns set contacts_count = (select count(*) from contacts where campaign_id = new.campaign_id)
       where id = new.campaign_id;
       return null; end $body$`,
  );
  await run(
    db,
    'create trigger bench_count after insert on contacts for each row execute function bench_count()',
  );
  const planned = await add(200);
  await run(db, 'drop function bench_count cascade');
  await run(db, `delete from contacts where campaign_id = '${campaignId}'`);
  return { 'ms for 200 rows into 100,000': ours, "ms with the plan's COUNT(*) trigger": planned };
}
