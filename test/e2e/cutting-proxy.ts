import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface CuttingProxy {
  url: string;
  /** `GET /path` of each request whose answer was lost. */
  cut: string[];
  stop(): Promise<void>;
}

/** Passes requests on, and loses the first answer to every second page and every dispatch: they were done. */
export async function startCuttingProxy(target: string): Promise<CuttingProxy> {
  const cut: string[] = [];
  const seen = new Set<string>();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const answer = await fetch(`${target}${request.url}`, {
      method: request.method ?? 'GET',
      headers: Object.fromEntries(
        ['authorization', 'content-type', 'idempotency-key'].flatMap((name) => {
          const value = request.headers[name];
          return typeof value === 'string' ? [[name, value]] : [];
        }),
      ),
      ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
    });
    const body = Buffer.from(await answer.arrayBuffer());
    const once = `${request.method} ${request.url} ${request.headers['idempotency-key'] ?? ''}`;
    if (/[?&]cursor=/.test(once) || request.method === 'POST') {
      if (!seen.has(once)) {
        seen.add(once);
        cut.push(`${request.method} ${request.url?.split('?')[0]}`);
        response.destroy();
        return;
      }
    }
    // All but what is about the way it came: fetch has unpacked it.
    const ofTheWay = ['content-encoding', 'content-length', 'transfer-encoding', 'connection', 'keep-alive'];
    const headers = [...answer.headers].filter(([name]) => !ofTheWay.includes(name));
    response.writeHead(answer.status, Object.fromEntries(headers)).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
