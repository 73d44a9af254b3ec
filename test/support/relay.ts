import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';

/** Stands between a client and a server, counts how often the client speaks after the server has, and may fall silent. */
export async function aRelay(target: URL) {
  let turns = 0;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = createConnection(Number(target.port), target.hostname);
    let last = 'server';
    for (const socket of [near, far]) sockets.add(socket);
    near.on('data', (data) => {
      if (last === 'server') turns++;
      last = 'client';
      far.write(data);
    });
    far.on('data', (data) => {
      last = 'server';
      near.write(data);
    });
    near.on('close', () => far.destroy()).on('error', () => far.destroy());
    far.on('close', () => near.destroy()).on('error', () => near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = new URL(target);
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    turns: () => turns,
    /** Of what is connected no packet gets through any more; new connections do. */
    goSilent() {
      for (const socket of sockets) socket.removeAllListeners('data').on('data', () => undefined);
      sockets.clear();
    },
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}
