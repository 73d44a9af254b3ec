import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { build } from 'esbuild';
import { sql } from '../../core/db/sql.ts';
import { environments } from '../../local/stack/environments.ts';
import { serveInvoke } from '../../local/stack/http.ts';
import { root } from '../../local/stack/paths.ts';
import { until } from '../../local/stack/processes.ts';
import { schedule } from '../../local/stack/schedule.ts';
import { readTemplate } from '../../local/stack/template.ts';
import { aClient, anApi, type Client } from '../api/client.ts';
import { digestOf, restored } from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign } from '../support/factories.ts';

/*
 * The night as it is deployed: the bundled function in the local runner, begun by the schedule of serverless.yml, calling
 * itself by client-lambda until it is done. Only its timeout is short, and each chunk takes its time, so that one
 * invocation is not enough.
 */

const t = sql('t');
const folder = mkdtempSync(join(tmpdir(), 'aim-nightly-'));
const stopping: (() => unknown)[] = [];
let db: TestDatabase;
let client: Client;
let stranger: Client;
beforeAll(async () => {
  db = await testDatabase();
  const api = anApi(db);
  client = await aClient(db, api);
  stranger = await aClient(db, api);
  await build({
    entryPoints: [join(root, 'lambdas', 'archive.ts')],
    outfile: join(folder, 'archive.cjs'),
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    external: ['pg-native'],
    logLevel: 'warning',
  });
});
afterAll(async () => {
  for (const stop of stopping.reverse()) await stop();
  await db.close();
  rmSync(folder, { recursive: true });
});

/** A campaign that nobody touched for as long as that. */
async function anIdleCampaign(tenantId: string, contacts: number, days: number): Promise<string> {
  const id = await aCampaign(db, tenantId);
  const then = sql.fragment`now() - make_interval(days => ${days})`;
  await db.query(t`insert into contacts (user_id, campaign_id, full_name, created_at, updated_at)
    select ${tenantId}, ${id}, 'Person ' || n, ${then}, ${then} from generate_series(1, ${contacts}::int) n`);
  await db.query(t`update campaigns set created_at = ${then}, updated_at = ${then} where id = ${id}`);
  return id;
}

/** Chunks that take their time, and a campaign whose chunks are refused. */
const troubles = (refused: string) => `
  create function hinder() returns trigger language plpgsql as $$ begin
    if new.archive_id = '${refused}' then
      raise exception 'person@secret.example' using errcode = '23514';
    end if;
    perform pg_sleep(0.15);
    return new; end $$;
  create trigger hinder before insert on archive_chunks for each row execute function hinder()`;

/** The archive function of serverless.yml in the runner, with so many seconds a call. @returns what it logged */
async function startNights(timeoutSeconds: number) {
  const { environment, functions } = readTemplate();
  const definition = functions.find(({ name }) => name === 'archive');
  const [everySeconds = 0] = definition?.everySeconds ?? [];
  if (!definition || everySeconds === 0) throw new Error('serverless.yml has no nightly run');
  let text = '';
  const log = new Writable({
    write(part, _, done) {
      text += String(part);
      done();
    },
  });
  const calls: unknown[] = [];
  const invokers = new Map<string, (event: unknown) => Promise<unknown>>();
  const lambda = await serveInvoke(invokers);
  const env = {
    ...environment,
    AWS_REGION: 'eu-central-1',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_ENDPOINT_URL_LAMBDA: lambda.url,
    ARCHIVE_FUNCTION: 'archive',
    DATABASE_URL: db.asWorker.url,
    PUBLIC_URL: 'http://127.0.0.1:9',
    RESEARCH_QUEUE_URL: 'http://127.0.0.1:9/queue',
    DELIVERY_QUEUE_URL: 'http://127.0.0.1:9/delivery',
    POWERTOOLS_LOG_LEVEL: 'INFO',
  };
  const bundle = join(folder, 'archive.cjs');
  const running = environments({ ...definition, bundle, timeoutSeconds }, { env, log, limit: 2 });
  const invoke = (event: unknown) => {
    calls.push(event);
    return running.invoke(event);
  };
  invokers.set('archive', invoke);
  const failures: string[] = [];
  const stop = schedule(definition, everySeconds, invoke, (error) => failures.push(error.message));
  stopping.push(lambda.stop, running.stop, stop);
  const lines = () =>
    text
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as { message: string; level: string } & Record<string, unknown>);
  return { calls, failures, lines, text: () => text, everySeconds };
}

test('idle campaigns end archived, over as many calls as it takes, and the night leaves a report', async () => {
  await client.put('/v1/archive-policy', { idleDays: 30 });
  const { tenantId } = client;
  const [large, bad] = [await anIdleCampaign(tenantId, 30_000, 90), await anIdleCampaign(tenantId, 10, 80)];
  const small = await Promise.all(Array.from({ length: 8 }, (_, n) => anIdleCampaign(tenantId, 10, 70 - n)));
  const young = await anIdleCampaign(tenantId, 10, 29);
  const foreign = await anIdleCampaign(stranger.tenantId, 10, 90);
  await db.query({ statement: 't', text: troubles(bad), values: [] });
  const before = await digestOf(db, large);

  const night = await startNights(23);
  expect(night.everySeconds).toBe(86_400);
  const ended = () => db.query(t`select id from archive_runs where finished_at is not null`);
  expect(await until(async () => (await ended()).length > 0, 100_000, 100)).toBe(true);

  // It was begun by the schedule and went on by itself, in one run.
  const [run] = await db.query(
    t`select state, invocations, archived, failed, restored, purged, rows from archive_runs`,
  );
  expect(run).toEqual({
    state: 'finished',
    invocations: night.calls.length,
    archived: 9,
    failed: 1,
    restored: 0,
    purged: 0,
    rows: 30_080,
  });
  expect(night.calls.length).toBeGreaterThan(2);
  expect(night.calls[0]).toEqual({ source: 'aws.scheduler', resources: ['archive'] });
  for (const call of night.calls.slice(1)) {
    expect(call).toEqual({ v: 1, task: 'nightly', leaseId: expect.any(String) });
  }
  expect(night.failures).toEqual([]);

  // What became of each campaign.
  const states = await db.query<{ id: string; state: string | null }>(t`
    select c.id, a.state from campaigns c left join archived_campaigns a using (id)`);
  const stateOf = new Map(states.map(({ id, state }) => [id, state]));
  expect([large, ...small].map((id) => stateOf.get(id))).toEqual(Array(9).fill('archived'));
  expect([bad, young, foreign].map((id) => stateOf.get(id))).toEqual(['archiving', null, null]);

  // The reports: the tenant's, and the operator's.
  const events = (await client.get('/v1/archives/events?limit=100')).body.data;
  expect(events.filter(({ outcome }: { outcome: string }) => outcome === 'failed')).toEqual([
    expect.objectContaining({
      campaignId: bad,
      action: 'archive',
      reason: 'idle',
      errorCode: '23514',
      rows: 0,
    }),
  ]);
  expect(events.map(({ campaignId }: { campaignId: string }) => campaignId).toSorted()).toEqual(
    [large, bad, ...small].toSorted(),
  );
  // The large one needed several calls: its rows are counted once, and why it was archived is not forgotten.
  expect(events).toContainEqual(
    expect.objectContaining({ campaignId: large, outcome: 'done', reason: 'idle', rows: 30_000 }),
  );
  expect((await stranger.get('/v1/archives/events')).body.data).toEqual([]);
  expect(await until(() => night.lines().some(({ message }) => message === 'archive.run'), 5_000)).toBe(true);
  const reports = night.lines().filter(({ message }) => message === 'archive.run');
  expect(reports).toEqual([
    expect.objectContaining({
      level: 'INFO',
      archived: 9,
      failed: 1,
      rows: 30_080,
      invocations: night.calls.length,
    }),
  ]);
  // A busy machine's slow statements are another matter.
  const warnings = night.lines().filter(({ level, message }) => level === 'WARN' && message !== 'db.slow');
  expect(warnings).toEqual([
    expect.objectContaining({ message: 'archive.failed', campaignId: bad, code: '23514' }),
  ]);
  expect(night.text()).not.toContain('secret.example');

  // And all of it comes back.
  await restored(db, tenantId, large);
  expect(await digestOf(db, large)).toEqual(before);
}, 120_000);
