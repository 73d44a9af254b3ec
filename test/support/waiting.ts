import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Resumed {
  /** With its query, as it came. */
  path: string;
  headers: Record<string, string | string[] | undefined>;
  // biome-ignore lint/suspicious/noExplicitAny: as it came
  body: any;
}

/** A status, or one with a body. */
type Said = number | { status: number; body: string };

/** Whoever waits, on loopback: notes what it is asked and answers what the test says, 200 unless told otherwise. */
export async function aWaiting(
  respond: (count: number, request: Resumed) => Said | Promise<Said> = () => 200,
) {
  const resumed: Resumed[] = [];
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const path = request.url ?? '';
    const one = { path, headers: request.headers, body: JSON.parse(Buffer.concat(parts).toString()) };
    resumed.push(one);
    const said = await respond(resumed.length, one);
    const { status, body } = typeof said === 'number' ? { status: said, body: '{}' } : said;
    response.writeHead(status, { location: '/elsewhere' }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    url: `${origin}/webhook-waiting/17?signature=s%2Bgn%20ed+x`,
    resumed,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
