import { sql } from '../../core/db/sql.ts';
import { guardedAgent } from '../../core/http/guard.ts';
import { askBare } from '../support/ask.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { type AskOptions, oneAsk, type Respond, saying } from '../support/faults.ts';
import { http, rawProvider } from '../support/raw-provider.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.close());
const once = (respond: Respond, options?: AskOptions) => oneAsk(db, respond, options);

describe('no attempt is used, and the provider is left alone, when it', () => {
  const date = 'Sun, 01 Mar 2026 12:00:00 GMT';
  const day = 24 * 60 * 60 * 1000;
  test.each<[string, number, Record<string, string>, number]>([
    ['answers 429', 429, {}, 5_000],
    ['says how many seconds', 429, { 'retry-after': '7' }, 7_000],
    ['says parts of seconds', 429, { 'retry-after': '1.5' }, 1_500],
    ['says when', 429, { 'retry-after': 'Sun, 01 Mar 2026 12:00:30 GMT', date }, 30_000],
    ['says when, the way of 1985', 429, { 'retry-after': 'Sunday, 01-Mar-26 12:00:30 GMT', date }, 30_000],
    ['says when, the way of C', 429, { 'retry-after': 'Sun Mar  1 12:00:30 2026', date }, 30_000],
    ['says no time at all', 429, { 'retry-after': '0' }, 1_000],
    ['names a time that has passed', 429, { 'retry-after': 'Sun, 01 Mar 2026 11:00:00 GMT', date }, 1_000],
    ['says a negative time', 429, { 'retry-after': '-5' }, 5_000],
    ['says junk', 429, { 'retry-after': 'in 5 minutes' }, 5_000],
    ['asks for a year', 429, { 'retry-after': '31536000' }, day],
    ['asks for eternity', 429, { 'retry-after': '9'.repeat(400) }, day],
    ['names a date in a year', 429, { 'retry-after': 'Mon, 01 Mar 2027 12:00:00 GMT', date }, day],
    ['says when its quota is filled again', 429, { ratelimit: '"default";r=0;t=42' }, 42_000],
    ['says both', 429, { ratelimit: '"default";r=0;t=42', 'retry-after': '7' }, 7_000],
    ['is unavailable for a while', 503, { 'retry-after': '120' }, 120_000],
  ])('%s', async (_, status, headers, pauseMs) => {
    const run = await once(saying(http(status, 'too much', headers)), { maxRetries: 0 });
    const same = { status: 'queued', retries: 0, throttles: 1, code: 'throttled', outcome: 'throttled' };
    expect(run.job).toMatchObject({ ...same, httpStatus: status, delayMs: Math.min(pauseMs, 60_000) });
    const [provider] = await db.query<{ paused: boolean }>(sql('test.paused')`
      select paused_until between now() + make_interval(secs => ${pauseMs / 1000}::float8 - 60)
        and now() + make_interval(secs => ${pauseMs / 1000}) as paused
      from research_providers where id = ${run.provider.id}`);
    expect(provider).toEqual({ paused: true });
    await run.close();
  });

  test.each([404, 410])('answers %i, with a code of its own', async (status) => {
    const run = await once(saying(http(status, '{"message":"not registered"}')), { maxRetries: 0 });
    const same = {
      status: 'queued',
      retries: 0,
      throttles: 1,
      code: 'endpoint_missing',
      outcome: 'throttled',
    };
    expect(run.job).toMatchObject({ ...same, httpStatus: status });
    await run.close();
  });
});

test.each<[number, Record<string, string>]>([
  [202, { ratelimit: '"default";r=3;t=30' }],
  [429, { 'ratelimit-remaining': '3', 'ratelimit-reset': '30' }],
  [500, { 'x-ratelimit-remaining': '3', 'x-ratelimit-reset': '30' }],
  [
    200,
    {
      'x-ratelimit-remaining': '3',
      'x-ratelimit-reset': '1772366430',
      date: 'Sun, 01 Mar 2026 12:00:00 GMT',
    },
  ],
])('what a provider says of its quota is kept, whatever it answers: %i', async (status, headers) => {
  const remote = await rawProvider(saying(http(status, '', headers)));
  const agent = guardedAgent({ allowedNetworks: ['127.0.0.1/32'], connections: 1 });
  const answer = await askBare(remote.url, agent);
  expect(answer).toMatchObject({ httpStatus: status, rateLimit: { remaining: 3, resetMs: 30_000 } });
  await Promise.all([agent.destroy(), remote.close()]);
});

test('without a word about its quota, there is none', async () => {
  const remote = await rawProvider(saying(http(202, '')));
  const agent = guardedAgent({ allowedNetworks: ['127.0.0.1/32'], connections: 1 });
  expect(await askBare(remote.url, agent)).not.toHaveProperty('rateLimit');
  await Promise.all([agent.destroy(), remote.close()]);
});
