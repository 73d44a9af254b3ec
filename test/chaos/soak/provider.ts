import { randomUUID } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';

interface Ask {
  askId: string;
  requests: { jobId: string; attemptId: string; company: { name: string } }[];
}

/** What a provider does to us, each as likely as the next. */
const faults = [
  'throttled',
  'error',
  'reset',
  'hang',
  'not json',
  'half',
  'callback',
  'callback twice',
  'callback early',
  'callback in parts',
  'callback too late',
  'no for now',
] as const;

export interface Delivery {
  askId: string;
  body: string;
  headers: Record<string, string>;
}

/**
 * A provider of which a share of the asks goes wrong, in all ways there are. Callbacks are sent until they are taken.
 * @param deliver POSTs a callback to the API. @returns its status; a throw counts as no answer
 */
export async function faultyProvider(options: {
  share: number;
  secretOf: (path: string) => string;
  deliver: (delivery: Delivery) => Promise<number>;
  lateMs: number;
}) {
  const told = new Map<string, number>();
  let asks = 0;
  const pending = new Set<Promise<void>>();

  function resultsOf(requests: Ask['requests'], status: 'completed' | 'failed' = 'completed') {
    return requests.map(({ jobId, attemptId, company }) =>
      status === 'completed'
        ? {
            jobId,
            attemptId,
            status,
            research: { summary: `about ${company.name}` },
            prospects: [{ fullName: 'Ada', email: `ada@${jobId}.example` }],
          }
        : { jobId, attemptId, status, error: { code: 'busy', message: 'not now', retryable: true } },
    );
  }

  async function callBack(path: string, askId: string, results: unknown[], waitMs: number): Promise<void> {
    await sleep(waitMs);
    const body = JSON.stringify({ results });
    for (let attempt = 0; attempt < 40; attempt++) {
      const id = `msg_${randomUUID()}`;
      const at = new Date();
      const headers = {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
        'webhook-signature': new Webhook(options.secretOf(path)).sign(id, at, body),
      };
      const status = await options.deliver({ askId, body, headers }).catch(() => 0);
      if (status > 0 && status < 500) return;
      await sleep(500);
    }
  }
  const later = (work: Promise<void>) => {
    pending.add(work);
    work.finally(() => pending.delete(work)).catch(() => undefined);
  };

  async function answer(path: string, ask: Ask, response: ServerResponse): Promise<void> {
    asks++;
    const fault =
      Math.random() < options.share ? faults[Math.floor(Math.random() * faults.length)] : undefined;
    if (fault) told.set(fault, (told.get(fault) ?? 0) + 1);
    const results = resultsOf(ask.requests);
    const say = (status: number, body: string, headers = {}) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(body);
    };
    const back = (part: unknown[], waitMs: number) => later(callBack(path, ask.askId, part, waitMs));
    switch (fault) {
      case undefined:
        return say(200, JSON.stringify({ results }));
      case 'throttled':
        return say(429, '', { 'retry-after': '1' });
      case 'error':
        return say(500, 'oops');
      case 'reset':
        return void response.destroy();
      case 'hang':
        return;
      case 'not json':
        return say(200, '<html>');
      case 'half': {
        response.writeHead(200, { 'content-length': '10000' });
        response.write('{"results":[');
        await sleep(20);
        return void response.destroy();
      }
      case 'callback':
        back(results, 300);
        return say(202, '');
      case 'callback twice':
        back(results, 200);
        back(results, 250);
        return say(202, '');
      case 'callback early':
        await callBack(path, ask.askId, results, 0);
        return say(202, '');
      case 'callback in parts':
        for (const [n, result] of results.entries()) back([result], 100 * n);
        return say(202, '');
      case 'callback too late':
        back(results, options.lateMs);
        return say(202, '');
      case 'no for now':
        return say(200, JSON.stringify({ results: resultsOf(ask.requests, 'failed') }));
    }
  }

  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('error', () => undefined);
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const ask = JSON.parse(Buffer.concat(parts).toString('utf8')) as Ask;
      answer(request.url ?? '/', ask, response).catch(() => response.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asks: () => asks,
    faults: () => Object.fromEntries(told),
    pending: () => pending.size,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
