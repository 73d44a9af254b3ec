import { dueCampaigns } from '../../core/archive/nightly/due.ts';
import { doomed, pruneEvents, purge } from '../../core/archive/nightly/purge.ts';
import { claimRun, endRun, handOver, LeaseLost } from '../../core/archive/nightly/run.ts';
import { nightly } from '../../core/archive/nightly.ts';
import { startRestore } from '../../core/archive/restore.ts';
import { sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aProvider, aTenant, someCompanies } from '../support/factories.ts';
import { anArchive } from './archived.ts';

const t = sql('t');
let db: TestDatabase;
beforeEach(async () => {
  db = await testDatabase();
});
afterEach(() => db.close());
const always = { hasTime: () => true };

const policy = (tenantId: string, given: { idle?: number; ended?: number; retention?: number }) =>
  db.query(t`
    insert into archive_policies (user_id, idle_days, ended_days, closed, retention_days)
    values (${tenantId}, ${given.idle ?? null}, ${given.ended ?? null}, false, ${given.retention ?? null})`);
const due = async () =>
  (await dueCampaigns(db.asWorker, { startedAt: '2999-01-01' }, undefined)).due.map(({ id }) => id);

/** A campaign with a row in each table, all of them `days` old. */
async function aQuietCampaign(tenantId: string, providerId: string, days: number): Promise<string> {
  const id = await aCampaign(db, tenantId);
  const [companyId = ''] = await someCompanies(db, tenantId, id, 1);
  await db.query(t`insert into contacts (user_id, campaign_id) values (${tenantId}, ${id})`);
  await db.query(t`
    with research as (
      insert into company_research (user_id, campaign_id, company_id, kind) values (${tenantId}, ${id}, ${companyId}, 'company')
      returning id
    )
    insert into prospect_research (user_id, campaign_id, company_id, company_research_id, natural_key)
    select ${tenantId}, ${id}, ${companyId}, id, 'x' from research`);
  await db.query(t`
    insert into research_batches (user_id, campaign_id, provider_id, kind, status, sealed_at, expanded_at, finished_at)
    values (${tenantId}, ${id}, ${providerId}, 'company', 'completed', now(), now(), now() - make_interval(days => ${days}))`);
  for (const table of ['companies', 'contacts', 'company_research', 'prospect_research', 'research_batches'])
    await db.query(t`
      update ${sql.identifier(table)} set updated_at = now() - make_interval(days => ${days}) where campaign_id = ${id}`);
  await db.query(
    t`update campaigns set updated_at = now() - make_interval(days => ${days}) where id = ${id}`,
  );
  return id;
}

test.each(['companies', 'contacts', 'company_research', 'prospect_research', 'research_batches'])(
  'a campaign is not idle in whose %s something happened',
  async (table) => {
    const tenantId = await aTenant(db);
    const { id: providerId } = await aProvider(db, tenantId);
    await policy(tenantId, { idle: 30 });
    const quiet = await aQuietCampaign(tenantId, providerId, 60);
    const busy = await aQuietCampaign(tenantId, providerId, 60);
    expect(new Set(await due())).toEqual(new Set([quiet, busy]));
    await db.query(t`
      update ${sql.identifier(table)} set updated_at = now() - interval '1 day' where campaign_id = ${busy}`);
    expect(await due()).toEqual([quiet]);
  },
);

test('a campaign that was changed yesterday has neither been idle for long, nor ended', async () => {
  const tenantId = await aTenant(db);
  const { id: providerId } = await aProvider(db, tenantId);
  await policy(tenantId, { idle: 30, ended: 30 });
  const renamed = await aQuietCampaign(tenantId, providerId, 60);
  await db.query(t`update campaigns set updated_at = now() - interval '1 day' where id = ${renamed}`);
  expect(await due()).toEqual([]);
});

test('a campaign that is closed is archived only where the policy says so', async () => {
  const tenantId = await aTenant(db);
  const { id: providerId } = await aProvider(db, tenantId);
  await policy(tenantId, { idle: 300 });
  const closed = await aQuietCampaign(tenantId, providerId, 60);
  await db.query(t`update campaigns set closed_at = now() where id = ${closed}`);
  expect(await due()).toEqual([]);
});

test('the walk ends where the run began: what is changed meanwhile is for another night', async () => {
  const tenantId = await aTenant(db);
  await policy(tenantId, { idle: 30 });
  await aCampaign(db, tenantId);
  const startedAt = new Date(Date.now() - 60_000).toISOString();
  expect(await dueCampaigns(db.asWorker, { startedAt }, undefined)).toMatchObject({ looked: 0 });
});

test('campaigns that were changed in the same moment are each looked at, over as many looks as it takes', async () => {
  const tenantId = await aTenant(db);
  await policy(tenantId, { idle: 30 });
  await db.query(t`
    insert into campaigns (user_id, name, updated_at)
    select ${tenantId}, 'C', '2020-01-01' from generate_series(1, 1200)`);
  const seen = new Set<string>();
  const looks: number[] = [];
  let place: Awaited<ReturnType<typeof dueCampaigns>>['place'];
  do {
    const look = await dueCampaigns(db.asWorker, { startedAt: '2999-01-01' }, place);
    looks.push(look.looked);
    for (const { id } of look.due) seen.add(id);
    place = look.place;
  } while (place);
  expect([seen.size, looks]).toEqual([1_200, [500, 500, 200]]);
});

test('what was restored, or is kept for longer, since it was found past its retention is not purged', async () => {
  const tenantId = await aTenant(db);
  await policy(tenantId, { retention: 30 });
  const [restoring, kept] = [await anArchive(db, tenantId), await anArchive(db, tenantId)];
  await db.query(t`update archived_campaigns set archived_at = now() - interval '31 days'`);
  const found = await doomed(db.asWorker, { id: tenantId });
  expect(found).toHaveLength(2);
  await startRestore(db.asApi.forTenant(tenantId), tenantId, restoring.campaignId);
  const whole = () =>
    db.query(t`
      select a.id, a.state, a.purging_at, c.deleted_at, (select count(*) from archive_chunks k where k.archive_id = a.id) as chunks
      from archived_campaigns a join campaigns c on c.id = a.id order by a.id`);
  const before = await whole();
  const ofRestoring = found.find(({ id }) => id === restoring.campaignId);
  if (!ofRestoring) throw new Error('it was not found');
  expect(await purge(db.asWorker, ofRestoring, always)).toEqual({ done: true, rows: 0 });
  await db.query(t`update archive_policies set retention_days = 300`);
  for (const archive of found) await purge(db.asWorker, archive, always);
  expect(await whole()).toEqual(before);
  expect(before.map((row) => (row as { id: string }).id)).toContain(kept.campaignId);
});

test('reports are kept for 90 days', async () => {
  const tenantId = await aTenant(db);
  await db.query(t`
    insert into archive_events (user_id, campaign_id, action, outcome, reason, rows, ms, created_at)
    select ${tenantId}, uuidv7(), 'archive', 'done', 'idle', n, 1, now() - make_interval(days => n)
    from generate_series(80, 99) n`);
  await pruneEvents(db.asWorker, always);
  const left = await db.query<{ rows: number }>(t`select rows from archive_events order by rows`);
  expect(left.map(({ rows }) => rows)).toEqual([80, 81, 82, 83, 84, 85, 86, 87, 88, 89]);
});

/** The nightly run as the worker. */
const aNight = () => ({
  db: db.asWorker,
  log: { info: () => undefined, warn: () => undefined },
  clock: Date.now,
  sleep: async () => undefined,
  invokeSelf: async () => undefined,
});

test('a restore that fails does so once a night, and the others have their turn', async () => {
  const tenantId = await aTenant(db);
  const broken = await anArchive(db, tenantId);
  const api = db.asApi.forTenant(tenantId);
  await db.query(t`update archived_campaigns set checksum = aim.archive_checksum(id)`);
  await startRestore(api, tenantId, broken.campaignId);
  await db.query({
    statement: 't',
    text: `create function refuse() returns trigger language plpgsql as $$ begin
        raise exception 'no' using errcode = '23000'; end $$;
      create trigger refuse before insert on companies for each row execute function refuse()`,
    values: [],
  });
  let looks = 0;
  const end = await nightly(aNight(), {}, { remainingMs: () => (looks++ < 500 ? 600_000 : 0) });
  expect(end).toMatchObject({ state: 'finished', report: { failed: 1, invocations: 1 } });
  const told = await db.query(t`select action, outcome from archive_events`);
  expect(told).toEqual([{ action: 'restore', outcome: 'failed' }]);
});

test('an invocation holds its lease for longer than it can last', async () => {
  const leases: number[] = [];
  const invoking = {
    ...aNight(),
    db: {
      ...db.asWorker,
      query: async <Row>(statement: Parameters<typeof db.query>[0]) => {
        const rows = await db.asWorker.query<Row>(statement);
        if (statement.statement === 'archive_runs.begin') {
          const [run] = await db.query<{ seconds: number }>(t`
            select extract(epoch from lease_until - now())::float8 as seconds from archive_runs`);
          leases.push(run?.seconds ?? 0);
        }
        return rows;
      },
    },
  };
  await nightly(invoking, {}, { remainingMs: () => 900_000 });
  expect(leases).toHaveLength(1);
  expect(leases[0]).toBeGreaterThan(900);
});

test('who lost the lease neither ends the run of another nor hands it over', async () => {
  const stale = await claimRun(db.asWorker, undefined, -1);
  const taker = await claimRun(db.asWorker, undefined, 600_000);
  if (!stale || !taker) throw new Error('no lease');
  await expect(endRun(db.asWorker, stale)).rejects.toThrow(LeaseLost);
  await expect(handOver(db.asWorker, stale)).rejects.toThrow(LeaseLost);
  const [run] = await db.query(t`
    select finished_at, lease_until > now() + interval '9 minutes' as held from archive_runs`);
  expect(run).toEqual({ finished_at: null, held: true });
});
