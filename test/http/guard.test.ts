import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { promisify } from 'node:util';
import { guardedAgent } from '../../core/http/guard.ts';
import { askBare } from '../support/ask.ts';
import { aCertificate } from '../support/certificates.ts';
import { watchConnections } from '../support/connections.ts';
import { nameServer } from '../support/dns.ts';
import { fakeProvider } from '../support/provider.ts';
import { http, rawProvider } from '../support/raw-provider.ts';

const loopback = ['127.0.0.1/32'];
const watch = watchConnections();
const agents: ReturnType<typeof guardedAgent>[] = [];
afterAll(() => watch.stop());
beforeEach(() => {
  watch.attempts.length = 0;
});
afterEach(async () => {
  await Promise.all(agents.splice(0).map((agent) => agent.destroy()));
});

function anAgent(options: Partial<Parameters<typeof guardedAgent>[0]> = {}) {
  const agent = guardedAgent({ allowedNetworks: [], connections: 2, ...options });
  agents.push(agent);
  return agent;
}

const ask = (url: string, agent = anAgent(), timeoutMs?: number) => askBare(url, agent, timeoutMs);

const yes = () => rawProvider((socket) => socket.write(http(202, '')));
const refused = { type: 'permanent', errorCode: 'address_refused' };

test.each([
  ...[
    '127.0.0.1',
    '127.1',
    '0x7f.1',
    '0x7f000001',
    '017700000001',
    '2130706433',
    '127.0.0.1.',
    '0',
    '①27.0.0.1',
  ],
  ...['[::1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[64:ff9b::7f00:1]', '[64:ff9b:1:7f00:0:100::]'],
  ...[
    '[2002:7f00:1::]',
    '[2001:0:4136:e378:8000:63bf:80ff:fffe]',
    '10.0.0.1',
    '169.254.169.254',
    '[fe80::1]',
  ],
  ...[
    '0xa9fea9fe',
    '[::ffff:a9fe:a9fe]',
    '[fd00:ec2::254]',
    '100.64.0.1',
    '224.0.0.1',
    'localhost',
    'LOCALHOST',
  ],
])('http://%s is refused before any connection', async (host) => {
  const target = await yes();
  expect(await ask(`http://${host}:${target.port}/`)).toMatchObject(refused);
  expect(await ask(`https://${host}:${target.port}/`)).toMatchObject(refused);
  expect(watch.attempts).toEqual([]);
  expect(target.connections()).toBe(0);
  await target.close();
});

test('the allow list opens a network for names and addresses alike', async () => {
  const target = await yes();
  const agent = anAgent({ allowedNetworks: ['127.0.0.0/8', '::1/128'] });
  for (const host of ['127.0.0.1', 'localhost', '2130706433'])
    expect(await ask(`http://${host}:${target.port}/`, agent)).toMatchObject({ type: 'accepted' });
  await target.close();
});

test.each([25, 587, 6379, 11211])('port %i belongs to another protocol and is refused', async (port) => {
  const agent = anAgent({ allowedNetworks: loopback });
  expect(await ask(`http://127.0.0.1:${port}/`, agent)).toMatchObject(refused);
  expect(watch.attempts).toEqual([]);
});

test('a network that is none is reported when the client is made', () => {
  expect(() => guardedAgent({ allowedNetworks: ['10.0.0.0'], connections: 1 })).toThrow(
    '10.0.0.0 is not a network',
  );
});

test('a name that leads to one private address among public ones is refused, and the address not told', async () => {
  const names = await nameServer(() => ['93.184.215.14', '10.20.30.40']);
  const answer = await ask('http://provider.example:8080/', anAgent({ resolve: names.resolve }));
  expect(answer).toMatchObject(refused);
  expect(JSON.stringify(answer)).not.toContain('10.20.30.40');
  expect(watch.attempts).toEqual([]);
  await names.close();
});

test('a name without any address is a failure of the network', async () => {
  const names = await nameServer(() => []);
  const answer = await ask('http://provider.example:8080/', anAgent({ resolve: names.resolve }));
  expect(answer).toMatchObject({ type: 'transient', errorCode: 'network' });
  await names.close();
});

test('the address that was checked is the one connected to: the name is asked once a connection', async () => {
  const good = await rawProvider((socket) => socket.end(http(202, '', { connection: 'close' })));
  const evil = await rawProvider((socket) => socket.end(http(202, '')), {
    host: '127.0.0.2',
    port: good.port,
  });
  const names = await nameServer((_, count) => [count === 0 ? '127.0.0.1' : '127.0.0.2']);
  const agent = anAgent({ allowedNetworks: loopback, resolve: names.resolve });
  const url = `http://rebind.example:${good.port}/`;

  expect(await ask(url, agent)).toMatchObject({ type: 'accepted' });
  expect(names.asked).toEqual(['rebind.example']);
  expect(await ask(url, agent)).toMatchObject(refused);
  expect(names.asked).toEqual(['rebind.example', 'rebind.example']);
  expect(watch.attempts).toEqual([`127.0.0.1:${good.port}`]);
  expect(evil.connections()).toBe(0);
  await Promise.all([good.close(), evil.close(), names.close()]);
});

test('the deadline covers a name that is never answered', async () => {
  const names = await nameServer(() => undefined);
  const answer = await ask('http://slow.example:8080/', anAgent({ resolve: names.resolve }), 200);
  expect(answer).toMatchObject({ type: 'transient', errorCode: 'timeout' });
  expect(answer.latencyMs).toBeLessThan(5_000); // The connect timeout is 10 s.
  await names.close();
});

describe('with an authority that is trusted', () => {
  const authority = aCertificate('An authority');
  const before = getCACertificates('default');
  beforeAll(() => setDefaultCACertificates([...before, authority.cert]));
  afterAll(() => setDefaultCACertificates(before));

  const tlsProvider = ({ cert, keyPem }: { cert: string; keyPem: string }, more = {}) =>
    rawProvider((socket) => socket.write(http(202, '')), { tls: { cert, key: keyPem, ...more } });
  const askTls = (url: string) => ask(url, anAgent({ allowedNetworks: loopback }));

  test('a certificate in order is accepted', async () => {
    const target = await tlsProvider(aCertificate('A host', { names: ['127.0.0.1'], issuer: authority }));
    expect(await askTls(target.url)).toMatchObject({ type: 'accepted' });
    await target.close();
  });

  test.each([
    ['has expired', { names: ['127.0.0.1'], issuer: authority, expired: true }, 'CERT_HAS_EXPIRED'],
    ['is for another host', { names: ['other.example'], issuer: authority }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['is signed by itself', { names: ['127.0.0.1'] }, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    [
      'is signed by a stranger',
      { names: ['127.0.0.1'], issuer: aCertificate('A stranger') },
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    ],
  ])('a certificate that %s is refused, and nothing is sent', async (_, made, code) => {
    const target = await tlsProvider(aCertificate('A host', made));
    expect(await askTls(target.url)).toMatchObject({
      type: 'transient',
      errorCode: 'certificate',
      errorMessage: expect.stringContaining(code),
    });
    expect(target.connections()).toBe(1);
    expect(target.asks).toHaveLength(0);
    await target.close();
  });

  test('an environment that waives certificates waives them for others only', async () => {
    const target = await tlsProvider(aCertificate('A host', { names: ['127.0.0.1'] }));
    const code = `
      import { guardedAgent } from './core/http/guard.ts';
      import { askProvider } from './core/research/ask.ts';
      const http = guardedAgent({ allowedNetworks: ['127.0.0.1/32'], connections: 1 });
      const provider = { url: '${target.url}', secret: 'whsec_${randomBytes(24).toString('base64')}', timeout_ms: 5000 };
      const deps = { http, publicUrl: 'http://127.0.0.1:1', clock: Date.now };
      console.log(JSON.stringify(await askProvider(deps, { id: 'an-ask', provider, jobs: [] })));
      await http.destroy();`;
    // In a process of its own: jest keeps the real environment out of reach.
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], {
      env: { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: '0' },
    });
    expect(JSON.parse(stdout)).toMatchObject({ type: 'transient', errorCode: 'certificate' });
    expect(target.asks).toHaveLength(0);
    await target.close();
  });

  test('TLS below 1.2 and plain text where TLS is due are refused', async () => {
    const made = aCertificate('A host', { names: ['127.0.0.1'], issuer: authority });
    const old = await tlsProvider(made, {
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    const plain = await fakeProvider(() => ({}));
    for (const url of [old.url, plain.url.replace('http:', 'https:')])
      expect(await askTls(url)).toMatchObject({ type: 'transient', errorCode: 'network' });
    expect([...old.asks, ...plain.asks]).toEqual([]);
    await Promise.all([old.close(), plain.close()]);
  });

  test('the deadline covers a handshake that never ends', async () => {
    const silent = await rawProvider(() => undefined);
    const agent = anAgent({ allowedNetworks: loopback });
    const answer = await ask(silent.url.replace('http:', 'https:'), agent, 200);
    expect(answer).toMatchObject({ type: 'transient', errorCode: 'timeout' });
    expect(answer.latencyMs).toBeLessThan(5_000); // The connect timeout is 10 s.
    await silent.close();
  });
});
