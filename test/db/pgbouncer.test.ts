import { type Connection, connect } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { aClient, anApi } from '../api/client.ts';
import { aConveyor, jobsOf } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aTenant, aWorld } from '../support/factories.ts';
import { hasPgbouncer, startPgbouncer } from '../support/pgbouncer.ts';
import { completeAll, fakeProvider } from '../support/provider.ts';

const poolSize = 2;
let db: TestDatabase;
let bouncer: Awaited<ReturnType<typeof startPgbouncer>>;
const open: Connection[] = [];

/** As a container has it: one connection of its own, to the pooler. */
function container(url: string): Connection {
  const connection = connect(bouncer.via(url));
  open.push(connection);
  return connection;
}

async function backends(role: string): Promise<number> {
  const [row] = await db.query<{ count: number }>(sql('test.backends')`
    select count(*) from pg_stat_activity where datname = current_database() and usename = ${role}`);
  return row?.count ?? 0;
}

if (!hasPgbouncer) {
  test.skip('through PgBouncer: not installed here, `apt-get install pgbouncer` brings it', () => undefined);
} else {
  describe('through PgBouncer in transaction mode', () => {
    beforeAll(async () => {
      db = await testDatabase();
      bouncer = await startPgbouncer([db.asApi.url, db.asWorker.url], { poolSize });
    });
    afterAll(async () => {
      await Promise.all(open.map((each) => each.close()));
      await bouncer.stop();
      await db.close();
    });

    test('many containers on a few connections each see their own tenant alone', async () => {
      const tenants = await Promise.all(Array.from({ length: 4 }, () => aTenant(db)));
      const seen = await Promise.all(
        Array.from({ length: 12 }, async (_, n) => {
          const own = tenants[n % tenants.length] ?? '';
          const api = anApi(container(db.asApi.url));
          const client = await aClient(db, api, { tenantId: own });
          const campaignId = await client.campaign(`Campaign ${n}`);
          const rows = Array.from({ length: 50 }, (__, at) => ({ email: `p${at}@c${n}.example` }));
          const bulk = await client.post(
            '/v1/contacts/bulk',
            { campaignId, rows },
            { 'idempotency-key': `bulk-${n}` },
          );
          expect(bulk.status).toBe(200);
          const walked = await client.walk(`/v1/contacts?campaignId=${campaignId}&limit=7`);
          expect(walked.map((row) => row.email).sort()).toEqual(rows.map((row) => row.email).sort());
          const changed = await container(db.asApi.url)
            .forTenant(own)
            .query<{ own: boolean; contacts: number }>(sql('test.changes')`
              select bool_and(user_id = ${own}) as own,
                coalesce(sum(cardinality(ids)) filter (where campaign_id = ${campaignId} and entity = 'contact'), 0)::int as contacts
              from changes`);
          expect(changed).toEqual([{ own: true, contacts: 50 }]);
          return { own, campaignId };
        }),
      );
      const api = anApi(container(db.asApi.url));
      for (const tenantId of tenants) {
        const client = await aClient(db, api, { tenantId });
        const campaigns = await client.walk('/v1/campaigns?limit=2');
        const own = seen.filter((each) => each.own === tenantId).map((each) => each.campaignId);
        expect(campaigns.map((campaign) => campaign.id).sort()).toEqual(own.sort());
      }
      expect(open.length).toBeGreaterThan(poolSize);
      expect(await backends('aim_api')).toBeLessThanOrEqual(poolSize);
    });

    test('a binding stays with its transaction when the connection behind changes hands', async () => {
      const tenants = await Promise.all(Array.from({ length: 3 }, () => aTenant(db)));
      const who = sql('test.who');
      const ask = (at: Pick<Connection, 'query'>) =>
        at.query<{ tenant: string | null; pid: number }>(who`
          select nullif(current_setting('request.jwt.claim.sub', true), '') as tenant, pg_backend_pid() as pid`);
      const pids = new Set<number>();
      await Promise.all(
        Array.from({ length: 6 }, async (_, n) => {
          const connection = container(db.asApi.url);
          for (let round = 0; round < 30; round++) {
            const tenantId = tenants[(n + round) % 4] ?? null;
            const at = tenantId === null ? connection : connection.forTenant(tenantId);
            if (round % 3 === 0) await at.query(sql('test.fail')`select 1 / 0`).catch(() => undefined);
            const [row] = await (round % 2 ? ask(at) : at.transaction(ask));
            expect(row?.tenant).toBe(tenantId);
            pids.add(row?.pid ?? 0);
          }
        }),
      );
      expect(pids.size).toBe(poolSize);
    });

    test('a batch is dispatched, claimed and settled by several workers', async () => {
      const provider = await fakeProvider(completeAll);
      const world = await aWorld(db, { url: provider.url, companies: 40, batchSize: 5 });
      provider.trust(world.provider.secret);
      const conveyor = aConveyor({
        ...db,
        asApi: { ...container(db.asApi.url), url: '' },
        asWorker: { ...connectWorkers(), url: '' },
      });
      const batchId = await conveyor.start(world.tenantId, world.campaignId);
      await conveyor.drain();
      const jobs = await jobsOf(db, batchId);
      expect(jobs).toHaveLength(40);
      expect(jobs.every((job) => job.status === 'completed' && job.retry_count === 0)).toBe(true);
      const api = anApi(container(db.asApi.url));
      const client = await aClient(db, api, { tenantId: world.tenantId });
      expect(await client.walk(`/v1/research?campaignId=${world.campaignId}&limit=11`)).toHaveLength(40);
      expect((await client.get(`/v1/batches/${batchId}`)).body).toMatchObject({ status: 'completed' });
      expect(await backends('aim_worker')).toBeLessThanOrEqual(poolSize);
      await conveyor.close();
      await provider.close();
    });
  });
}

/** More connections than PgBouncer has for them. */
function connectWorkers(): Connection {
  const connection = connect(bouncer.via(db.asWorker.url), { max: 6 });
  open.push(connection);
  return connection;
}
