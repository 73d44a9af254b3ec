import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns';
import { type AddressInfo, isIPv4, type LookupFunction } from 'node:net';

/**
 * A real name server on loopback for A records.
 * @param answer the IPv4 addresses of a name; `count` is how often it was asked before. None: no reply at all
 */
export async function nameServer(answer: (name: string, count: number) => string[] | undefined) {
  const asked: string[] = [];
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    let at = 12;
    const labels: string[] = [];
    for (let size = query[at] ?? 0; size > 0; size = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + size));
      at += 1 + size;
    }
    const name = labels.join('.');
    const addresses = answer(name, asked.length);
    asked.push(name);
    if (!addresses) return;
    const header = Buffer.from(query.subarray(0, 12));
    header.writeUInt16BE(0x8180, 2);
    header.writeUInt16BE(addresses.filter(isIPv4).length, 6);
    header.writeUInt32BE(0, 8);
    const records = addresses
      .filter(isIPv4)
      .map((address) =>
        Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split('.').map(Number)]),
      );
    socket.send(Buffer.concat([header, query.subarray(12, at + 5), ...records]), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const resolver = new Resolver();
  resolver.setServers([`127.0.0.1:${(socket.address() as AddressInfo).port}`]);
  const resolve: LookupFunction = (hostname, _options, callback) =>
    resolver.resolve4(hostname, (error, addresses) =>
      error
        ? callback(error, [])
        : callback(
            null,
            addresses.map((address) => ({ address, family: 4 })),
          ),
    );
  return {
    asked,
    address: `127.0.0.1:${(socket.address() as AddressInfo).port}`,
    resolve,
    async close() {
      resolver.cancel();
      await new Promise<void>((resolve) => socket.close(resolve));
    },
  };
}
