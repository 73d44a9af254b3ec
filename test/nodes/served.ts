import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Api } from '../api/client.ts';

/** One request that is answered otherwise, without headers of a kind, or cut after it was done. */
export interface Trouble {
  when: (request: { method: string; url: string }) => boolean;
  times: number;
  status?: number;
  without?: RegExp;
}

/** The real API on loopback, for a node to ask. */
export async function served({ app }: Api, key: string) {
  const asked: string[] = [];
  const troubles: Trouble[] = [];
  const server = createServer(async (request, response) => {
    const { method = '', url = '' } = request;
    asked.push(`${method} ${url}`);
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const trouble = troubles.find(({ when, times }) => times > 0 && when({ method, url }));
    if (trouble) trouble.times--;
    if (trouble?.status) return response.writeHead(trouble.status).end();
    const answer = await app.request(url, {
      method,
      headers: request.headers as Record<string, string>,
      ...(parts.length > 0 && { body: Buffer.concat(parts) }),
    });
    if (trouble && !trouble.without) return response.destroy();
    const body = Buffer.from(await answer.arrayBuffer());
    const headers = [...answer.headers].filter(([name]) => !trouble?.without?.test(name));
    return response.writeHead(answer.status, Object.fromEntries(headers)).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    key,
    asked,
    troubles,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
