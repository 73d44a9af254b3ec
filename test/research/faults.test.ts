import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { sql } from '../../core/db/sql.ts';
import { dispatch } from '../../core/research/dispatch.ts';
import { aCertificate } from '../support/certificates.ts';
import { watchConnections } from '../support/connections.ts';
import { aConveyor } from '../support/conveyor.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aWorld, type ProviderOverrides } from '../support/factories.ts';
import { completeAll } from '../support/provider.ts';
import { http, rawProvider } from '../support/raw-provider.ts';

type Respond = Parameters<typeof rawProvider>[0];
type Options = ProviderOverrides & {
  tls?: NonNullable<Parameters<typeof rawProvider>[1]>['tls'];
  /** What the provider's URL becomes; its own unless given. */
  at?: (url: string) => string;
};

let db: TestDatabase;
const authority = aCertificate('An authority');
const trusted = getCACertificates('default');
const watch = watchConnections();
beforeAll(async () => {
  setDefaultCACertificates([...trusted, authority.cert]);
  db = await testDatabase();
});
afterAll(async () => {
  setDefaultCACertificates(trusted);
  watch.stop();
  await db.close();
});

interface Seen {
  status: string;
  retries: number;
  throttles: number;
  code: string | null;
  message: string | null;
  /** Of the attempt. */
  outcome: string;
  httpStatus: number | null;
  latencyMs: number;
  /** Until the job, and the provider, are due again. */
  delayMs: number;
  pauseMs: number | null;
}

/** Sends one job to a provider that behaves so, once. @returns what became of the job, its attempt and the provider */
async function once(respond: Respond, { tls, at, ...options }: Options = {}) {
  const remote = await rawProvider(respond, tls ? { tls } : {});
  const url = at ? at(remote.url) : remote.url;
  const world = await aWorld(db, { companies: 1, timeoutMs: 5_000, ...options, url });
  const conveyor = aConveyor(db);
  const logged: unknown[] = [];
  conveyor.deps.log = {
    info: (...line: unknown[]) => void logged.push(line),
    warn: (...line: unknown[]) => void logged.push(line),
  } as typeof conveyor.deps.log;
  const batchId = await conveyor.start(world.tenantId, world.campaignId);
  const ids = conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  await dispatch(conveyor.deps, ids, { remainingMs: () => 60_000 });
  const [job] = await db.query<Seen>(sql('test.seen')`
    select j.status, j.retry_count as retries, j.throttle_count as throttles, j.error_code as code,
      j.error_message as message, a.outcome, a.http_status as "httpStatus", a.latency_ms as "latencyMs",
      (extract(epoch from j.run_at - j.updated_at) * 1000)::float8 as "delayMs",
      (extract(epoch from p.paused_until - p.updated_at) * 1000)::float8 as "pauseMs"
    from research_jobs j join research_attempts a on a.job_id = j.id join research_providers p on p.id = j.provider_id
    where j.batch_id = ${batchId}`);
  if (!job) throw new Error('the job was not asked for');
  return {
    ...world,
    job,
    remote,
    conveyor,
    logged,
    batchId,
    close: () => Promise.all([remote.close(), conveyor.close()]),
  };
}

async function allClosed(remote: { open(): number }) {
  for (let tries = 500; remote.open() > 0 && tries > 0; tries--)
    await new Promise((done) => setTimeout(done, 10));
  expect(remote.open()).toBe(0);
}

const saying =
  (text: string | Buffer): Respond =>
  (socket) =>
    void socket.write(text);
const chunked = { 'transfer-encoding': 'chunked', 'content-length': '' };
const headOf = (headers: Record<string, string>) =>
  `HTTP/1.1 200 OK\r\n${Object.entries(headers)
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`;
const chunk = (part: Buffer) =>
  Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]);
const binary = (status: number, body: Buffer, headers: Record<string, string>) =>
  Buffer.concat([Buffer.from(http(status, '', { ...headers, 'content-length': `${body.length}` })), body]);
const drip = (socket: Socket, text: string, everyMs: number) => {
  let at = 0;
  const timer = setInterval(() => socket.write(text[at++ % text.length] ?? ''), everyMs);
  socket.on('close', () => clearInterval(timer));
};
const packed = gzipSync(JSON.stringify({ results: [] }));

describe('an attempt is used, and the job waits for its next one, when the provider', () => {
  test.each<[string, Respond, string, Options?]>([
    ...[408, 425, 500, 502, 503, 504, 599].map((status): [string, Respond, string] => [
      `answers ${status}`,
      saying(http(status, 'no')),
      `http_${status}`,
    ]),
    [
      'answers 503 and a Retry-After that is junk',
      saying(http(503, '', { 'retry-after': '-5' })),
      'http_503',
    ],
    ['answers 200 with HTML', saying(http(200, '<!doctype html><p>hi')), 'invalid_answer'],
    ['answers 200 with half a JSON', saying(http(200, '{"results":[')), 'invalid_answer'],
    ['answers 200 with words', saying(http(200, 'Workflow was started')), 'invalid_answer'],
    ['sends gzip that is none', saying(http(200, 'oops', { 'content-encoding': 'gzip' })), 'invalid_answer'],
    [
      'sends half a gzip',
      saying(binary(200, packed.subarray(0, -9), { 'content-encoding': 'gzip' })),
      'invalid_answer',
    ],
    [
      'packs its answer in a way nobody asked for',
      saying(http(200, '{}', { 'content-encoding': 'br' })),
      'invalid_answer',
    ],
    [
      'says less than its content-length, then hangs up',
      (s) => s.end(`${headOf({ 'content-length': '99' })}{`),
      'network',
    ],
    [
      'says more than its content-length',
      saying(`${headOf({ 'content-length': '5' })}{"results":[]}`),
      'invalid_answer',
    ],
    ['resets the connection before the headers', (s) => s.resetAndDestroy(), 'network'],
    ['hangs up before the headers', (s) => s.end(), 'network'],
    ['does not speak HTTP', saying('220 mail.example ESMTP\r\n'), 'network'],
    [
      'sends headers without end',
      (s) => s.write(`HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(100_000)}`),
      'network',
    ],
    [
      'resets the connection in the middle of the body',
      (s) => s.write(headOf(chunked) + chunk(Buffer.from('{"results":')), () => s.resetAndDestroy()),
      'network',
    ],
    ['is not there', () => undefined, 'network', { at: () => 'http://127.0.0.1:9999/' }],
    ['has no name', () => undefined, 'network', { at: () => 'http://nobody.invalid/' }],
  ])('%s', async (...[, respond, code, options]) => {
    const run = await once(respond, options);
    expect(run.job).toMatchObject({ status: 'queued', retries: 1, throttles: 0, code, outcome: 'retried' });
    expect(run.job.delayMs).toBeLessThanOrEqual(2_000);
    expect(run.job.pauseMs).toBeNull();
    await run.close();
  });

  test.each<[string, Respond, Options?]>([
    ['says nothing at all', () => undefined],
    [
      'sends one byte a second of its headers',
      (socket) => drip(socket, 'HTTP/1.1 200 OK\r\nx: y\r\n', 1_000),
    ],
    ['sends headers and no body', saying(headOf({ 'content-length': '2' }))],
    [
      'sends one byte a second of its body',
      (socket) => {
        socket.write(headOf({ 'content-length': '1000000' }));
        drip(socket, ' ', 1_000);
      },
    ],
    ['sends one byte after the other, fast, without end', (s) => drip(s.write(headOf({})) ? s : s, ' ', 5)],
    ['lets the TLS handshake hang', () => undefined, { at: (url) => url.replace('http:', 'https:') }],
  ])('%s: the deadline covers it all', async (...[, respond, options]) => {
    const run = await once(respond, { ...options, timeoutMs: 1_500 });
    expect(run.job).toMatchObject({ status: 'queued', retries: 1, code: 'timeout', outcome: 'retried' });
    expect(run.job.latencyMs).toBeLessThan(9_000); // Any other timeout is 10 s or more.
    await run.close();
  });

  test.each<[string, Parameters<typeof aCertificate>[1], string]>([
    ['has expired', { names: ['127.0.0.1'], issuer: authority, expired: true }, 'CERT_HAS_EXPIRED'],
    ['is for another host', { names: ['other.example'], issuer: authority }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['is signed by itself', { names: ['127.0.0.1'] }, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
  ])('has a certificate that %s, and it learns nothing', async (_, made, code) => {
    const { cert, keyPem } = aCertificate('A host', made);
    const run = await once(saying(http(202, '')), { tls: { cert, key: keyPem } });
    expect(run.job).toMatchObject({ status: 'queued', retries: 1, code: 'certificate', outcome: 'retried' });
    expect(run.job.message).toContain(code);
    expect(run.remote.asks).toHaveLength(0);
    await run.close();
  });
});

test('the deadline closes the connection', async () => {
  const run = await once((socket) => drip(socket, 'HTTP/1.1 200 OK\r\nx: y\r\n', 50), { timeoutMs: 200 });
  expect(run.job).toMatchObject({ code: 'timeout' });
  await allClosed(run.remote);
  await run.close();
});

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
    expect(run.job).toMatchObject({ ...same, httpStatus: status, delayMs: pauseMs });
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

describe('the job fails at once, because another attempt would end the same, when the provider', () => {
  test.each([400, 401, 403, 405, 409, 413, 422])('answers %i', async (status) => {
    const run = await once(saying(http(status, 'no')));
    expect(run.job).toMatchObject({
      status: 'failed',
      retries: 0,
      code: `http_${status}`,
      outcome: 'failed',
    });
    await run.close();
  });

  test.each([301, 302, 303, 307, 308])('redirects by %i: nobody goes there', async (status) => {
    watch.attempts.length = 0;
    const run = await once(
      saying(http(status, '', { location: 'http://169.254.169.254/latest/meta-data/' })),
    );
    expect(run.job).toMatchObject({ status: 'failed', code: `http_${status}`, outcome: 'failed' });
    expect(run.remote.asks).toHaveLength(1);
    const gone = watch.attempts.filter((attempt) => attempt.endsWith(`:${run.remote.port}`));
    expect(gone).toEqual([`127.0.0.1:${run.remote.port}`]);
    expect(watch.attempts.filter((attempt) => !attempt.startsWith('127.0.0.1:'))).toEqual([]);
    await run.close();
  });

  test.each([
    'http://169.254.169.254/latest/meta-data/',
    'http://[::ffff:169.254.169.254]/',
    'http://[64:ff9b::a9fe:a9fe]/',
    'http://10.0.0.1/',
    'http://0xa9fea9fe/',
    'http://127.0.0.1:25/',
  ])('is at %s: nobody goes there', async (url) => {
    watch.attempts.length = 0;
    const run = await once(() => undefined, { at: () => url });
    expect(run.job).toMatchObject({ status: 'failed', code: 'address_refused', outcome: 'failed' });
    expect(watch.attempts.filter((attempt) => !attempt.startsWith('127.0.0.1:'))).toEqual([]);
    expect(watch.attempts.filter((attempt) => attempt.endsWith(':25'))).toEqual([]);
    await run.close();
  });

  const tooLarge = { status: 'failed', retries: 0, code: 'answer_too_large', outcome: 'failed' };
  const mebibyte = 1024 * 1024;
  const endless =
    (headers: Record<string, string>, wrap = (part: Buffer) => part): Respond =>
    (socket) => {
      const part = wrap(randomBytes(64 * 1024));
      socket.write(headOf(headers));
      let left = (10 * 1024 * mebibyte) / part.length;
      const more = () => {
        while (left-- > 0 && !socket.destroyed) if (!socket.write(part)) return;
        socket.end();
      };
      socket.on('drain', more);
      more();
    };

  test.each<[string, Respond]>([
    ['says so', endless({ 'content-length': `${10 * 1024 * mebibyte}` })],
    ['does not say so', endless(chunked, chunk)],
    ['packs it', endless({ ...chunked, 'content-encoding': 'gzip' }, chunk)],
  ])('sends 10 GB and %s: it is cut early', async (name, respond) => {
    const run = await once(respond, { timeoutMs: 30_000 });
    // What is random is no gzip, which shows in its first bytes.
    expect(run.job).toMatchObject(name === 'packs it' ? { code: 'invalid_answer' } : tooLarge);
    await allClosed(run.remote);
    expect(run.remote.bytesWritten()).toBeLessThan(40 * mebibyte); // The cap, and what the kernel holds.
    await run.close();
  });

  test('sends a gzip bomb: it is cut while it unpacks', async () => {
    const member = gzipSync(Buffer.alloc(64 * mebibyte, ' '), { level: 9 });
    const bomb = Buffer.concat(Array.from({ length: 100 }, () => member));
    expect(bomb.length).toBeLessThan(8 * mebibyte); // 6.4 GB of blanks: small enough to come in whole.
    const before = process.memoryUsage().rss;
    const run = await once(saying(binary(200, bomb, { 'content-encoding': 'gzip' })), { timeoutMs: 30_000 });
    expect(run.job).toMatchObject(tooLarge);
    expect(process.memoryUsage().rss - before).toBeLessThan(512 * mebibyte);
    await run.close();
  });

  test('sends gzip members without any content, for ever: what comes in is capped too', async () => {
    const empty = Buffer.concat(Array.from({ length: 3_000 }, () => gzipSync('')));
    const respond: Respond = (socket) => {
      socket.write(headOf({ ...chunked, 'content-encoding': 'gzip' }));
      const more = () => {
        while (!socket.destroyed) if (!socket.write(chunk(empty))) return;
      };
      socket.on('drain', more);
      more();
    };
    const run = await once(respond, { timeoutMs: 30_000 });
    expect(run.job).toMatchObject(tooLarge);
    await run.close();
  });
});

describe('the job goes on when the provider', () => {
  test.each<[string, Respond]>([
    ['answers 200 with nothing', saying(http(200, ''))],
    ['answers 202 with blanks', saying(http(202, ' \r\n'))],
    ['answers 204', saying('HTTP/1.1 204 No Content\r\n\r\n')],
    ['answers JSON without results', saying(http(200, '{"message":"Workflow was started"}'))],
    ['answers JSON that is no object', saying(http(200, 'null'))],
  ])('%s: it is accepted', async (_, respond) => {
    const run = await once(respond);
    expect(run.job).toMatchObject({ status: 'processing', retries: 0, code: null, outcome: 'accepted' });
    await run.close();
  });

  test.each<[string, Respond]>([
    [
      'in gzip',
      (s, ask) =>
        s.write(binary(200, gzipSync(JSON.stringify(completeAll(ask).body)), { 'content-encoding': 'gzip' })),
    ],
    [
      'after a byte order mark',
      (s, ask) => s.write(http(200, `\ufeff${JSON.stringify(completeAll(ask).body)}`)),
    ],
    [
      'as text/html',
      (s, ask) => s.write(http(200, JSON.stringify(completeAll(ask).body), { 'content-type': 'text/html' })),
    ],
    [
      'one byte at a time',
      async (s, ask) => {
        for (const byte of http(200, JSON.stringify(completeAll(ask).body))) {
          s.write(byte);
          await new Promise((resolve) => setImmediate(resolve));
        }
      },
    ],
  ])('answers %s: it is completed', async (_, respond) => {
    const run = await once(respond);
    expect(run.job).toMatchObject({ status: 'completed', code: null, outcome: 'completed', httpStatus: 200 });
    await run.close();
  });

  test('says no at the top of its voice: the next ask does not wait for it to end', async () => {
    let count = 0;
    const run = await once((socket, ask) => {
      if (++count > 1) return void socket.write(http(200, JSON.stringify(completeAll(ask).body)));
      socket.write('HTTP/1.1 500 No\r\ncontent-length: 1000000\r\n\r\n');
      drip(socket, 'n', 50);
    });
    expect(run.job).toMatchObject({ status: 'queued', code: 'http_500' });
    await run.conveyor.drain();
    const [job] = await db.query(
      sql('test.end')`select status from research_jobs where batch_id = ${run.batchId}`,
    );
    expect(job).toEqual({ status: 'completed' });
    await run.close();
  });
});

test('what a provider sends, its URL and its secret show in no log and in no error', async () => {
  const marker = 'tell-nobody';
  const faults: Respond[] = [
    saying(http(500, marker, { 'x-secret': marker })),
    saying(http(422, marker)),
    saying(http(302, '', { location: `http://10.0.0.1/${marker}` })),
    saying(http(200, `<p>${marker}`)),
    saying(http(200, `{"${marker}`)),
    saying(http(429, marker, { 'retry-after': marker })),
    saying(`${marker} is no HTTP\r\n\r\n`),
    saying(http(200, marker, { 'content-encoding': marker })),
    (socket) => socket.end(headOf({ 'content-length': '999' }) + marker),
  ];
  for (const respond of faults) {
    const run = await once(respond, { at: (url) => `${url}${marker}?key=${marker}` });
    const rows = await db.query(sql('test.rows')`
      select to_jsonb(j) as job, (select jsonb_agg(to_jsonb(a)) from research_attempts a where a.job_id = j.id) as attempts
      from research_jobs j where batch_id = ${run.batchId}`);
    const kept = JSON.stringify([rows, run.logged]);
    expect(run.job.code).not.toBeNull();
    expect(run.logged).not.toEqual([]);
    expect(kept).not.toContain(marker);
    expect(kept).not.toContain(run.provider.secret.slice(6));
    await run.close();
  }
});
