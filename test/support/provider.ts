import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

export interface AskBody {
  type: string;
  askId: string;
  callbackUrl: string;
  requests: {
    jobId: string;
    attemptId: string;
    batchId: string;
    kind: string;
    company: { id: string; name: string; domain: string };
  }[];
}

export interface Reply {
  status?: number;
  headers?: Record<string, string>;
  body?: unknown;
  /** Sends nothing at all; the asker's deadline must end it. */
  hang?: boolean;
}

/** Completes every request of an ask with a small finding. */
export const completeAll = (ask: AskBody): Reply => ({
  body: {
    results: ask.requests.map(({ jobId, attemptId, company }) => ({
      jobId,
      attemptId,
      status: 'completed',
      research: {
        summary: `about ${company.name}`,
        findings: { employees: 7 },
        sources: [`https://${company.domain}/`],
      },
      prospects: [{ fullName: 'Ada', email: `ada@${company.domain}` }],
    })),
  },
});

/** A provider on loopback that really verifies signatures and answers what the test says. */
export async function fakeProvider(respond: (ask: AskBody, count: number) => Reply | Promise<Reply>) {
  const asks: AskBody[] = [];
  const signatures: { id: string; valid: boolean }[] = [];
  let secret = '';
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (part) => {
      text += part;
    });
    request.on('end', async () => {
      let valid = true;
      try {
        new Webhook(secret).verify(text, request.headers as Record<string, string>);
      } catch {
        valid = false;
      }
      signatures.push({ id: String(request.headers['webhook-id']), valid });
      const ask = JSON.parse(text) as AskBody;
      asks.push(ask);
      const reply = await respond(ask, asks.length);
      if (reply.hang) return;
      response.writeHead(reply.status ?? 200, { 'content-type': 'application/json', ...reply.headers });
      response.end(
        typeof reply.body === 'string'
          ? reply.body
          : reply.body === undefined
            ? ''
            : JSON.stringify(reply.body),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    asks,
    signatures,
    trust(value: string) {
      secret = value;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
