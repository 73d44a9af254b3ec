import { dueCampaigns } from '../../core/archive/nightly/due.ts';
import { claimRun, LeaseLost, note, saveRun } from '../../core/archive/nightly/run.ts';
import { nightly } from '../../core/archive/nightly.ts';
import { archiveWork } from '../../core/archive/on-demand.ts';
import { startRestore } from '../../core/archive/restore.ts';
import { startArchive } from '../../core/archive/start.ts';
import type { Db } from '../../core/db/connect.ts';
import { type Statement, sql } from '../../core/db/sql.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant, aWorld, someCompanies } from '../support/factories.ts';
import { anArchive } from './archived.ts';

const t = sql('t');
let db: TestDatabase;
beforeEach(async () => {
  db = await testDatabase();
});
afterEach(() => db.close());

interface Line {
  event: string;
  fields: Record<string, unknown>;
}
/** The nightly run as its own role, with what it logged and what it had itself called with. */
function aNight(at: Db = db.asWorker) {
  const logged: Line[] = [];
  const invoked: { leaseId: string }[] = [];
  const log = (event: string, fields: Record<string, unknown>) => void logged.push({ event, fields });
  const deps = {
    db: at,
    log: { info: log, warn: log },
    clock: Date.now,
    sleep: (ms: number) => new Promise((resolve) => setTimeout(resolve, ms)),
    invokeSelf: async (payload: { leaseId: string }) => void invoked.push(payload),
  };
  const run = (leaseId?: string, options: { remainingMs?: () => number; invocationsAtMost?: number } = {}) =>
    nightly(deps, { leaseId }, { remainingMs: () => 600_000, ...options });
  return { deps, run, logged, invoked };
}

const policy = (
  tenantId: string,
  given: { idle?: number; ended?: number; closed?: boolean; retention?: number },
) =>
  db.query(t`insert into archive_policies (user_id, idle_days, ended_days, closed, retention_days)
    values (${tenantId}, ${given.idle ?? null}, ${given.ended ?? null}, ${given.closed ?? false}, ${given.retention ?? null})`);

/** A campaign with a company and a contact, all as old as that. */
async function anOldCampaign(tenantId: string, days: number): Promise<string> {
  const id = await aCampaign(db, tenantId);
  await someCompanies(db, tenantId, id, 1);
  await db.query(t`insert into contacts (user_id, campaign_id) values (${tenantId}, ${id})`);
  const then = sql.fragment`now() - make_interval(days => ${days})`;
  await db.query(t`update campaigns set updated_at = ${then} where id = ${id}`);
  await db.query(t`update companies set updated_at = ${then} where campaign_id = ${id}`);
  await db.query(t`update contacts set updated_at = ${then} where campaign_id = ${id}`);
  return id;
}
async function aBatch(
  tenantId: string,
  campaignId: string,
  providerId: string,
  endedDays: number | undefined,
) {
  await db.query(t`
    insert into research_batches (user_id, campaign_id, provider_id, kind, status, sealed_at, expanded_at, finished_at, updated_at)
    select ${tenantId}, ${campaignId}, ${providerId}, 'company', case when ended is null then 'open' else 'completed' end,
      now(), now(), ended, coalesce(ended, now())
    from (select now() - make_interval(days => ${endedDays ?? null}::int) as ended) x`);
}
const due = async () =>
  (await dueCampaigns(db.asWorker, { startedAt: '2999-01-01' }, undefined)).due.map(({ id, reason }) => [
    id,
    reason,
  ]);

describe('what is due', () => {
  test('idle for longer than the policy says, those first that were not changed for longest', async () => {
    const { tenantId } = await aWorld(db, { companies: 0 });
    await policy(tenantId, { idle: 30 });
    const younger = await anOldCampaign(tenantId, 31);
    const older = await anOldCampaign(tenantId, 60);
    await anOldCampaign(tenantId, 29);
    const touched = await anOldCampaign(tenantId, 90);
    await db.query(t`update contacts set updated_at = now() where campaign_id = ${touched}`);
    expect(await due()).toEqual([
      [older, 'idle'],
      [younger, 'idle'],
    ]);
  });

  test('ended: it has batches, all have ended, the last of them long enough ago', async () => {
    const { tenantId, provider } = await aWorld(db, { companies: 0 });
    await policy(tenantId, { ended: 10 });
    const [ended, recent, open] = [
      await anOldCampaign(tenantId, 20),
      await anOldCampaign(tenantId, 20),
      await anOldCampaign(tenantId, 20),
    ];
    await anOldCampaign(tenantId, 20);
    for (const days of [11, 15]) await aBatch(tenantId, ended, provider.id, days);
    for (const days of [9, 15]) await aBatch(tenantId, recent, provider.id, days);
    for (const days of [undefined, 15]) await aBatch(tenantId, open, provider.id, days);
    expect(await due()).toEqual([[ended, 'ended']]);
  });

  test('closed by hand, unless a batch is open; a restored campaign is open again', async () => {
    const { tenantId, provider } = await aWorld(db, { companies: 0 });
    await policy(tenantId, { closed: true });
    const [closed, busy, restored] = [
      await anOldCampaign(tenantId, 3),
      await anOldCampaign(tenantId, 2),
      await anOldCampaign(tenantId, 1),
    ];
    await aBatch(tenantId, busy, provider.id, undefined);
    await db.query(t`update campaigns set closed_at = now() where user_id = ${tenantId}`);
    const flip = (archived: boolean): Statement =>
      t`update campaigns set archived = ${archived}, archived_at = case when ${archived} then now() end where id = ${restored}`;
    await db.query(flip(true));
    await db.query(flip(false));
    const found = await due();
    expect(found).toContainEqual([closed, 'closed']);
    expect(found.map(([id]) => id)).not.toContain(busy);
    expect(found.map(([id]) => id)).not.toContain(restored);
  });

  test('nothing of a tenant who gave no policy, or of a campaign that is deleted', async () => {
    await anOldCampaign(await aTenant(db), 900);
    const tenantId = await aTenant(db);
    await policy(tenantId, { idle: 1 });
    const deleted = await anOldCampaign(tenantId, 900);
    await db.query(t`update campaigns set deleted_at = now() where id = ${deleted}`);
    expect(await due()).toEqual([]);
  });

  test('is found by indexes alone, however many campaigns there are', async () => {
    const tenantId = await aTenant(db);
    await policy(tenantId, { idle: 30, ended: 30, closed: true });
    await db.query(t`insert into campaigns (user_id, name, updated_at)
      select ${tenantId}, 'C', now() - n * interval '1 minute' from generate_series(1, 20000) n`);
    await db.query(t`insert into contacts (user_id, campaign_id) select user_id, id from campaigns`);
    await db.query({ statement: 'analyze', text: 'analyze', values: [] });
    let statement: Statement | undefined;
    const spy: Db = {
      query: (given) => {
        statement = given;
        return db.asWorker.query(given);
      },
      transaction: (work) => db.asWorker.transaction(work),
    };
    await dueCampaigns(spy, { startedAt: '2999-01-01' }, { at: '2020-01-01', id: tenantId });
    const plan = await db.asWorker.query<{ 'QUERY PLAN': string }>({
      statement: 'explain',
      text: `explain ${statement?.text}`,
      values: statement?.values ?? [],
    });
    const text = plan.map((row) => row['QUERY PLAN']).join('\n');
    expect(text).toContain('campaigns_oldest');
    expect(text).not.toMatch(/Seq Scan on (campaigns|contacts)/);
  });
});

describe('one run at a time', () => {
  test('a second finds it busy; by the lease handed over it goes on at once', async () => {
    const first = await claimRun(db.asWorker, undefined, 60_000);
    expect(await claimRun(db.asWorker, undefined, 60_000)).toBeUndefined();
    const next = await claimRun(db.asWorker, first?.leaseId, 60_000);
    expect(next).toMatchObject({ id: first?.id, invocations: 2 });
    // The same call delivered twice: the lease it names is used up.
    expect(await claimRun(db.asWorker, first?.leaseId, 60_000)).toBeUndefined();
  });

  test('of two hundred that come at once one gets it', async () => {
    const claims = await Promise.all(
      Array.from({ length: 200 }, () => claimRun(db.asWorker, undefined, 60_000)),
    );
    expect(claims.filter((run) => run !== undefined)).toHaveLength(1);
  });

  test('who lost the lease writes nothing any more, for the operator or for the tenant', async () => {
    const { tenantId, campaignId } = await aWorld(db, { companies: 0 });
    const stale = await claimRun(db.asWorker, undefined, -1);
    const taker = await claimRun(db.asWorker, undefined, 60_000);
    if (!stale || !taker) throw new Error('no lease');
    const outcome = { tenantId, campaignId, action: 'archive', reason: 'idle', rows: 7, ms: 1 } as const;
    await expect(note(db.asWorker, stale, outcome)).rejects.toThrow(LeaseLost);
    await expect(saveRun(db.asWorker, stale, { rows: 7 })).rejects.toThrow(LeaseLost);
    expect(await db.query(t`select id from archive_events`)).toEqual([]);
    const [run] = await db.query(t`select rows, archived from archive_runs`);
    expect(run).toEqual({ rows: 0, archived: 0 });
    await note(db.asWorker, taker, outcome);
    expect(await db.query(t`select rows, archived from archive_runs`)).toEqual([{ rows: 7, archived: 1 }]);
  });
});

describe('a process that dies right after the commit of an end', () => {
  /** Nothing comes through any more once a transaction with this statement is committed. */
  function dyingAfter(ending: string): Db {
    let dead = false;
    const over = (inner: Db, isEnd: { seen: boolean }): Db => ({
      async query(statement) {
        if (dead) throw new Error('killed');
        isEnd.seen ||= statement.statement === ending;
        return inner.query(statement);
      },
      async transaction(work) {
        const inside = { seen: false };
        const result = await inner.transaction((tx) => work(over(tx, inside)));
        dead ||= inside.seen;
        if (dead) throw new Error('killed');
        return result;
      },
    });
    return over(db.asWorker, { seen: false });
  }
  const events = () => db.query(t`select campaign_id as id, action, outcome, reason from archive_events`);

  test.each([['archive.end', 'archive'] as const, ['archive.purge.end', 'purge'] as const])(
    'has told of it: %s by night',
    async (ending, action) => {
      const { tenantId } = await aWorld(db, { companies: 0 });
      await policy(tenantId, { idle: 30, retention: 30 });
      const id =
        action === 'archive' ? await anOldCampaign(tenantId, 60) : (await anArchive(db, tenantId)).campaignId;
      await db.query(t`update archived_campaigns set archived_at = now() - interval '31 days'`);
      await expect(aNight(dyingAfter(ending)).run()).rejects.toThrow('killed');
      await db.query(t`update archive_runs set lease_until = now() - interval '1 s'`);
      const reason = action === 'archive' ? 'idle' : 'retention';
      expect(await events()).toEqual([{ id, action, outcome: 'done', reason }]);
      expect(await aNight().run()).toMatchObject({
        report: action === 'archive' ? { archived: 1, failed: 0 } : { purged: 1, failed: 0 },
      });
      expect(await events()).toHaveLength(1);
    },
  );

  test('is not said to have failed when only the count of its rows could not be written', async () => {
    const { tenantId } = await aWorld(db, { companies: 0 });
    await policy(tenantId, { idle: 30 });
    const id = await anOldCampaign(tenantId, 60);
    const over = (inner: Db): Db => ({
      query: (statement) =>
        statement.statement === 'archive_runs.save'
          ? Promise.reject(new Error('cut off'))
          : inner.query(statement),
      transaction: (work) => inner.transaction((tx) => work(over(tx))),
    });
    await expect(aNight(over(db.asWorker)).run()).rejects.toThrow('cut off');
    expect(await events()).toEqual([{ id, action: 'archive', outcome: 'done', reason: 'idle' }]);
  });

  test.each([['archive.end', 'archive'] as const, ['restore.end', 'restore'] as const])(
    'has told of it: %s on request',
    async (ending, task) => {
      const { tenantId } = await aWorld(db, { companies: 0 });
      const id = await anOldCampaign(tenantId, 1);
      const work = (at: Db, what: 'archive' | 'restore') =>
        archiveWork(
          aNight(at).deps as never,
          { v: 1, task: what, archiveId: id, tenantId, times: 1 },
          {
            remainingMs: () => 600_000,
          },
        );
      await startArchive(db.asApi.forTenant(tenantId), tenantId, id, { cancelOpenJobs: false });
      if (task === 'restore') {
        await work(db.asWorker, 'archive');
        await startRestore(db.asApi.forTenant(tenantId), tenantId, id);
        await db.query(t`delete from archive_events`);
      }
      await expect(work(dyingAfter(ending), task)).rejects.toThrow('killed');
      expect(await events()).toEqual([{ id, action: task, outcome: 'done', reason: 'asked' }]);
      // Lambda tries again, and finds it done.
      await work(db.asWorker, task);
      expect(await events()).toHaveLength(1);
    },
  );
});

describe('the purge', () => {
  const archives = async () =>
    (await db.query<{ id: string }>(t`select id from archived_campaigns`)).map(({ id }) => id);
  const keptSince = (id: string, days: number) =>
    db.query(
      t`update archived_campaigns set archived_at = now() - make_interval(days => ${days}) where id = ${id}`,
    );

  test('takes archives past retention away, campaign and chunks and index, and no others', async () => {
    const { tenantId } = await aWorld(db, { companies: 0 });
    const stranger = await aTenant(db);
    await policy(tenantId, { retention: 30 });
    const [old, young, foreign] = [
      await anArchive(db, tenantId),
      await anArchive(db, tenantId),
      await anArchive(db, stranger),
    ].map(({ campaignId }) => campaignId);
    for (const id of [old, foreign]) await keptSince(id ?? '', 31);
    await keptSince(young ?? '', 29);
    const { run, logged } = aNight();
    expect(await run()).toMatchObject({ state: 'finished', report: { purged: 1, failed: 0, rows: 12 } });
    expect((await archives()).sort()).toEqual([young, foreign].sort());
    expect(await db.query(t`select archive_id from archive_chunks where archive_id = ${old}`)).toEqual([]);
    expect(await db.query(t`select archive_id from archive_lookup where archive_id = ${old}`)).toEqual([]);
    const [campaign] = await db.query(
      t`select deleted_at is not null as deleted from campaigns where id = ${old}`,
    );
    expect(campaign).toEqual({ deleted: true });
    expect(logged.find(({ event }) => event === 'archive.run')?.fields).toMatchObject({ purged: 1 });
    expect(await db.query(t`select campaign_id, action, outcome, reason, rows from archive_events`)).toEqual([
      { campaign_id: old, action: 'purge', outcome: 'done', reason: 'retention', rows: 12 },
    ]);
    expect(await aNight().run()).toMatchObject({ state: 'finished', report: { purged: 0, rows: 0 } });
  });

  test('takes the archive of a deleted campaign along, whatever the policy', async () => {
    const { tenantId } = await aWorld(db, { companies: 0 });
    const { campaignId } = await anArchive(db, tenantId);
    await db.query(t`update campaigns set deleted_at = now() where id = ${campaignId}`);
    expect(await aNight().run()).toMatchObject({ state: 'finished', report: { purged: 1 } });
    expect(await archives()).toEqual([]);
  });

  test('one archive that cannot go does not hold up the others, and its tenant reads why', async () => {
    const { tenantId } = await aWorld(db, { companies: 0 });
    await policy(tenantId, { retention: 1 });
    const ids = [];
    for (let n = 0; n < 3; n++) ids.push((await anArchive(db, tenantId)).campaignId);
    for (const [n, id] of ids.entries()) await keptSince(id, 30 - n);
    await db.query({
      statement: 't',
      text: `create function refuse() returns trigger language plpgsql as $$ begin
          if old.archive_id = '${ids[0]}' then raise exception 'secret@row.example' using errcode = '23000'; end if;
          return old; end $$;
        create trigger refuse before delete on archive_chunks for each row execute function refuse()`,
      values: [],
    } as Statement);
    const { run, logged } = aNight();
    expect(await run()).toMatchObject({ state: 'finished', report: { purged: 2, failed: 1 } });
    expect(await archives()).toEqual([ids[0]]);
    const [failed] = await db.query<{ error_code: string }>(t`
      select error_code, error_message from archive_events where outcome = 'failed' and campaign_id = ${ids[0]}`);
    expect(failed?.error_code).toBe('23000');
    expect(JSON.stringify([failed, logged])).not.toContain('secret@row.example');
    expect(logged.find(({ event }) => event === 'archive.failed')?.fields).toMatchObject({
      campaignId: ids[0],
    });
  });
});

describe('a run that is longer than one invocation', () => {
  /** A clock that leaves time for so many questions. */
  const forSteps = (steps: number) => () => (steps-- > 0 ? 600_000 : 0);

  async function manyArchives(count: number) {
    const tenantId = await aTenant(db);
    await policy(tenantId, { retention: 1 });
    for (let n = 0; n < count; n++) await anArchive(db, tenantId, { companies: 1 });
    await db.query(t`update archived_campaigns set archived_at = now() - interval '9 days'`);
    return tenantId;
  }

  test('hands over until all is done, in one run with one report', async () => {
    await manyArchives(6);
    const { run, invoked, logged } = aNight();
    let end = await run(undefined, { remainingMs: forSteps(6) });
    for (
      ;
      end.state === 'continued';
      end = await run(invoked.at(-1)?.leaseId, { remainingMs: forSteps(6) })
    ) {
      expect(invoked.length).toBeLessThan(30);
    }
    expect(invoked.length).toBeGreaterThan(2);
    expect(end).toMatchObject({
      state: 'finished',
      report: { purged: 6, failed: 0, invocations: invoked.length + 1 },
    });
    expect(logged.filter(({ event }) => event === 'archive.run')).toHaveLength(1);
    expect(await db.query(t`select state from archive_runs`)).toEqual([{ state: 'finished' }]);
  });

  test('stops where it got nowhere, and does not call itself', async () => {
    await manyArchives(1);
    const { run, invoked, logged } = aNight();
    expect(await run(undefined, { remainingMs: () => 10_000 })).toMatchObject({
      state: 'stopped',
      reason: 'no_progress',
    });
    expect(invoked).toEqual([]);
    expect(logged).toMatchObject([{ event: 'archive.stopped', fields: { reason: 'no_progress' } }]);
    // The next night begins anew.
    expect(await run()).toMatchObject({ state: 'finished', report: { purged: 1, invocations: 1 } });
  });

  test('stops after too many invocations', async () => {
    await manyArchives(6);
    const { run, invoked } = aNight();
    const options = { invocationsAtMost: 2 };
    expect(await run(undefined, { ...options, remainingMs: forSteps(6) })).toEqual({ state: 'continued' });
    expect(await run(invoked[0]?.leaseId, { ...options, remainingMs: forSteps(6) })).toMatchObject({
      state: 'stopped',
      reason: 'too_many_invocations',
    });
    expect(invoked).toHaveLength(1);
  });

  test('whose lease is taken while it works stops, and the other goes on', async () => {
    const tenantId = await manyArchives(3);
    const night = aNight();
    let stolen = false;
    const { deps } = night;
    const stealing: Db = {
      query: async <Row>(statement: Statement) => {
        const rows = await db.asWorker.query<Row>(statement);
        if (!stolen && statement.statement === 'archive.purge.chunks') {
          stolen = true;
          await db.query(t`update archive_runs set lease_until = now() - interval '1 second'`);
          await claimRun(db.asWorker, undefined, -1);
        }
        return rows;
      },
      transaction: (work) => db.asWorker.transaction(work),
    };
    expect(await nightly({ ...deps, db: stealing }, {}, { remainingMs: () => 600_000 })).toEqual({
      state: 'lost',
    });
    expect(await db.query(t`select purged from archive_runs`)).toEqual([{ purged: 0 }]);
    // The end of the first was taken back with its line in the report.
    expect(await night.run()).toMatchObject({ state: 'finished', report: { purged: 3 } });
    expect(await db.query(t`select id from archived_campaigns where user_id = ${tenantId}`)).toEqual([]);
  });
});
