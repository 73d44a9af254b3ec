import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { sql } from '../../core/db/sql.ts';
import { aCertificate } from '../support/certificates.ts';
import { watchConnections } from '../support/connections.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import {
  type AskOptions,
  allClosed,
  binary,
  chunk,
  chunked,
  drip,
  headOf,
  oneAsk,
  type Respond,
  saying,
} from '../support/faults.ts';
import { completeAll } from '../support/provider.ts';
import { http } from '../support/raw-provider.ts';

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
const once = (respond: Respond, options?: AskOptions) => oneAsk(db, respond, options);
const packed = gzipSync(JSON.stringify({ results: [] }));

describe('an attempt is used, and the job waits for its next one, when the provider', () => {
  test.each<[string, Respond, string, AskOptions?]>([
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
    ['is not there', () => undefined, 'network', { at: (url) => url.replace('127.0.0.1', '127.0.0.3') }],
  ])('%s', async (...[, respond, code, options]) => {
    const run = await once(respond, options);
    expect(run.job).toMatchObject({ status: 'queued', retries: 1, throttles: 0, code, outcome: 'retried' });
    expect(run.job.delayMs).toBeLessThanOrEqual(2_000);
    expect(run.job.pauseMs).toBeNull();
    await run.close();
  });

  test.each<[string, Respond, AskOptions?]>([
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
  const run = await once(
    (socket) => {
      socket.write(headOf({ 'content-length': '1000000' }));
      drip(socket, ' ', 50);
    },
    { timeoutMs: 200 },
  );
  expect(run.job).toMatchObject({ code: 'timeout' });
  await allClosed(run.remote);
  await run.close();
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
});

describe('the job goes on when the provider', () => {
  test.each<[string, Respond]>([
    ['answers 200 with nothing', saying(http(200, ''))],
    ['answers 202 with blanks', saying(http(202, ' \r\n'))],
    ['answers 204', saying('HTTP/1.1 204 No Content\r\n\r\n')],
    ['answers JSON without results', saying(http(200, '{"message":"Workflow was started"}'))],
    ['answers JSON that is no object', saying(http(200, 'null'))],
    ['answers with an id that is no text', saying(http(200, '{"results":[{"jobId":{"toString":1}},null]}'))],
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
    [
      'with ids in upper case',
      (s, ask) => {
        const text = JSON.stringify(completeAll(ask).body);
        s.write(
          http(
            200,
            text.replace(
              /"(jobId|attemptId)":"[^"]+"/g,
              (id) => id.slice(0, 12) + id.slice(12).toUpperCase(),
            ),
          ),
        );
      },
    ],
    [
      'that it works on it, and then with its result',
      (s, ask) => {
        const { results } = completeAll(ask).body as { results: { jobId: string; attemptId: string }[] };
        const first = results.map(({ jobId, attemptId }) => ({ jobId, attemptId, status: 'processing' }));
        s.write(http(200, JSON.stringify({ results: [...first, ...results] })));
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
      socket.write('HTTP/1.1 500 No\r\n\r\n');
      drip(socket, 'n', 50);
    });
    expect(run.job).toMatchObject({ status: 'queued', code: 'http_500' });
    expect(run.remote.open()).toBe(1);
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
