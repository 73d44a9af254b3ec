import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Webhook } from 'standardwebhooks';
import { keepComplaints } from '../../local/sample-provider.ts';

const secret = `whsec_${Buffer.from('a secret of the tests, not of anyone').toString('base64')}`;
const webhook = new Webhook(secret);

interface Result {
  jobId: string;
  status: string;
  research?: { summary: string };
}

let children: ChildProcess[] = [];
let receivers: Server[] = [];
afterEach(async () => {
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
  for (const receiver of receivers) receiver.closeAllConnections();
  await Promise.all(receivers.map((receiver) => new Promise((resolve) => receiver.close(resolve))));
  children = [];
  receivers = [];
});

async function provider(...options: string[]): Promise<{ url: string; child: ChildProcess }> {
  const file = join(__dirname, '..', '..', 'local', 'provider.ts');
  const child = spawn(process.execPath, [file, ...options], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { PATH: process.env.PATH, PROVIDER_SECRET: secret },
  });
  children.push(child);
  const failed = once(child, 'exit').then(() => Promise.reject(new Error('the provider did not start')));
  const [{ url }] = (await Promise.race([once(child, 'message'), failed])) as [{ url: string }];
  failed.catch(() => undefined);
  return { url, child };
}

/** Takes callbacks; answers the first ones with `statuses`, and all others with 200. */
async function receiver(
  statuses: number[] = [],
): Promise<{ url: string; results: Result[]; refusals: number[] }> {
  const taken = { url: '', results: [] as Result[], refusals: [] as number[] };
  const server = createServer(async (request, response) => {
    const text = Buffer.concat(await request.toArray()).toString();
    webhook.verify(text, request.headers as Record<string, string>);
    const status = statuses.shift() ?? 200;
    if (status === 200) taken.results.push(...(JSON.parse(text) as { results: Result[] }).results);
    else taken.refusals.push(status);
    response.writeHead(status).end('{}');
  });
  receivers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  taken.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return taken;
}

function ask(id: string, callbackUrl: string, domains = ['acme.com', 'example.org']): string {
  const requests = domains.map((domain, index) => ({
    jobId: `${id}-job-${index}`,
    attemptId: `${id}-attempt-${index}`,
    company: { id: domain, name: domain, domain, attributes: {} },
  }));
  return JSON.stringify({ type: 'research.requested', askId: id, callbackUrl, requests });
}

function send(url: string, id: string, body: string, signature = webhook.sign(id, new Date(), body)) {
  return fetch(url, {
    method: 'POST',
    headers: {
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(Date.now() / 1000)),
      'webhook-signature': signature,
    },
    body,
    signal: AbortSignal.timeout(1_500),
  });
}

async function until(done: () => boolean): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!done()) {
    if (Date.now() > deadline) throw new Error('it did not happen within 15 s');
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

test('it answers 202 and calls back later with a signed result for every job, again when it was not taken', async () => {
  const { url } = await provider();
  const callbacks = await receiver([503]);

  const response = await send(url, 'a', ask('a', callbacks.url));

  expect(response.status).toBe(202);
  expect(callbacks.results).toEqual([]);
  await until(() => callbacks.results.length === 2);
  expect(callbacks.refusals).toEqual([503]);
  expect(callbacks.results.map((result) => result.jobId).sort()).toEqual(['a-job-0', 'a-job-1']);
});

test('one webhook-id is one piece of work, however often it is delivered', async () => {
  const { url } = await provider();
  const callbacks = await receiver();

  for (let times = 0; times < 3; times++)
    expect((await send(url, 'a', ask('a', callbacks.url))).status).toBe(202);
  await send(url, 'b', ask('b', callbacks.url, ['other.com']));

  await until(
    () => callbacks.results.some((result) => result.jobId === 'b-job-0') && callbacks.results.length >= 3,
  );
  expect(callbacks.results.filter((result) => result.jobId.startsWith('a-'))).toHaveLength(2);
});

test('a wrong signature is refused', async () => {
  const { url } = await provider();
  const response = await send(url, 'a', ask('a', 'http://127.0.0.1:9/'), 'v1,AAAA');
  expect(response.status).toBe(401);
});

test('a signed body that is no request is refused, and the provider lives on', async () => {
  const { url } = await provider();
  expect((await send(url, 'a', '{"askId":"a"}')).status).toBe(400);
  expect((await send(url, 'b', 'null')).status).toBe(400);
});

test('every run meets a 429 with Retry-After, a 500, and an ask that is never answered', async () => {
  const { url } = await provider();
  const callbacks = await receiver();
  const met: string[] = [];
  for (let place = 1; place <= 10; place++) {
    const answer = await send(url, `ask-${place}`, ask(`ask-${place}`, callbacks.url)).catch(() => null);
    met.push(
      answer === null ? 'silence' : `${answer.status} ${answer.headers.get('retry-after') ?? ''}`.trim(),
    );
  }
  expect(met).toEqual(expect.arrayContaining(['202', '429 1', '500', 'silence']));
});

test('with --instant the answer holds the results', async () => {
  const { url } = await provider('--instant');
  const response = await send(url, 'a', ask('a', 'http://127.0.0.1:9/'));
  const { results } = (await response.json()) as { results: Result[] };
  expect(response.status).toBe(200);
  expect(results).toMatchObject([{ status: 'completed' }, { status: 'completed' }]);
  expect(results[0]?.research?.summary).toMatch(/^Sample data: /);
});

test('it ends when the process that started it is gone', async () => {
  const { child } = await provider();
  const exited = once(child, 'exit');
  child.disconnect();
  expect(await exited).toEqual([0, null]);
});

test('a thousand complaints are a thousand lines in the log and four on the terminal', async () => {
  const home = mkdtempSync(join(tmpdir(), 'aim-complaints-'));
  const file = join(home, 'log', 'sample-provider.log');
  const shown = jest.spyOn(console, 'error').mockImplementation(() => undefined);

  keepComplaints(Readable.from(Array.from({ length: 1_000 }, (_, n) => `no answer ${n}\n`)), file);

  const logged = () => (existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0);
  await until(() => logged() === 1_000);
  expect(shown.mock.calls.map(([line]) => /\(\d+ in/.exec(String(line))?.[0])).toEqual([
    '(1 in',
    '(10 in',
    '(100 in',
    '(1000 in',
  ]);
  shown.mockRestore();
  rmSync(home, { recursive: true });
});
