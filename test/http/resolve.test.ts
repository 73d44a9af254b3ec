import { promisify } from 'node:util';
import { networkResolver } from '../../core/http/resolve.ts';
import { nameServer } from '../support/dns.ts';

/** Names that begin with `dead` get no reply at all; `good.example` has an address, and no other name has one. */
const startNames = () =>
  nameServer((name) => {
    if (name.startsWith('dead')) return undefined;
    return name === 'good.example' ? ['93.184.215.14'] : [];
  });
let names: Awaited<ReturnType<typeof startNames>>;
beforeAll(async () => {
  names = await startNames();
});
afterAll(() => names.close());

const look = (hostname: string, askSystem = false) =>
  promisify(networkResolver({ askSystem, servers: [names.address] }))(hostname, {});

test('names that nobody answers for hold up no other name', async () => {
  const order: string[] = [];
  const noted = (name: string) =>
    look(name).then(
      () => order.push(name),
      (error) => order.push(error.code),
    );
  // More of them than a process has threads.
  const dead = Array.from({ length: 20 }, (_, n) => noted(`dead-${n}.example`));
  await noted('good.example');
  expect(order).toEqual(['good.example']);
  await Promise.all(dead);
  expect(order).toEqual(['good.example', ...dead.map(() => 'ETIMEOUT')]);
}, 30_000);

test('localhost is never asked of a name server', async () => {
  expect(await look('localhost')).toContainEqual({ address: '127.0.0.1', family: 4 });
  expect(names.asked).not.toContain('localhost');
});

test('a name without an address is looked for in the system only where that is asked for', async () => {
  await expect(look('nowhere.example')).rejects.toMatchObject({ code: 'ENODATA' });
  // It says that it was the system: getaddrinfo.
  await expect(look('nowhere.invalid', true)).rejects.toMatchObject({ syscall: 'getaddrinfo' });
});
