import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

interface Ask {
  askId: string;
  callbackUrl: string;
  requests: { jobId: string; attemptId: string }[];
}

/** A provider that takes what it is asked and calls back when told to, and the place a woken workflow reports to. */
export async function startCallingBack() {
  const asks: Ask[] = [];
  const woken: { at: number; item: Record<string, unknown> }[] = [];
  const server = createServer(async (request, response) => {
    const body = JSON.parse(await read(request));
    if (request.url === '/woken') woken.push({ at: performance.now(), item: body });
    else asks.push(body);
    response.writeHead(request.url === '/woken' ? 200 : 202).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    providerUrl: `${url}/research`,
    wokenUrl: `${url}/woken`,
    asks,
    woken,
    /** Sends the results of all that was asked, one callback an ask. @returns when the last was answered */
    async callBack(secret: string): Promise<number> {
      for (const { askId, callbackUrl, requests } of asks.splice(0)) {
        const results = requests.map(({ jobId, attemptId }) => ({
          jobId,
          attemptId,
          status: 'completed',
          research: { summary: 'x' },
        }));
        const body = JSON.stringify({ results });
        const at = new Date();
        const response = await fetch(callbackUrl, {
          method: 'POST',
          body,
          headers: {
            'content-type': 'application/json',
            'webhook-id': askId,
            'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
            'webhook-signature': new Webhook(secret).sign(askId, at, body),
          },
        });
        if (!response.ok) throw new Error(`the callback was answered ${response.status}`);
      }
      return performance.now();
    },
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
