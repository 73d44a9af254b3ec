import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { InvocationFailed } from './environments.ts';

const maxBodyBytes = 6 * 1024 * 1024;
/** What Lambda takes of the JSON that a function returns, its headers and the escapes of its body included. */
const maxAnswerBytes = 6_291_556;

type Invoke = (event: unknown, caller?: AbortSignal) => Promise<unknown>;

interface UrlAnswer {
  statusCode?: number;
  headers?: Record<string, string>;
  cookies?: string[];
  body?: string;
  isBase64Encoded?: boolean;
}

/** Answers on `host:port` as a function URL does: requests become payload 2.0 events. */
export function serveFunctionUrl(invoke: Invoke, { host, port }: { host: string; port: number }) {
  return serve(host, port, async (request, response) => {
    const body = await read(request);
    if (body === undefined) return response.writeHead(413).end();
    const [rawPath = '/', ...query] = (request.url ?? '/').split('?');
    const rawQueryString = query.join('?');
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [
        name,
        Array.isArray(value) ? value.join(',') : (value ?? ''),
      ]),
    );
    const caller = new AbortController();
    response.once('close', () => caller.abort());
    const event = {
      version: '2.0',
      routeKey: '$default',
      rawPath,
      rawQueryString,
      headers,
      queryStringParameters: Object.fromEntries(new URLSearchParams(rawQueryString)),
      requestContext: {
        accountId: 'anonymous',
        apiId: 'local',
        domainName: headers.host ?? '',
        domainPrefix: 'local',
        http: {
          method: request.method,
          path: rawPath,
          protocol: 'HTTP/1.1',
          sourceIp: request.socket.remoteAddress ?? '',
          userAgent: headers['user-agent'] ?? '',
        },
        requestId: crypto.randomUUID(),
        routeKey: '$default',
        stage: '$default',
        time: new Date().toISOString(),
        timeEpoch: Date.now(),
      },
      // Always base64: bytes that are not UTF-8 must reach the function as they came.
      body: body.length > 0 ? body.toString('base64') : undefined,
      isBase64Encoded: body.length > 0,
    };
    const result = await invoke(event, caller.signal);
    payloadOf(result);
    const answer = result as UrlAnswer;
    const text = answer.body ?? '';
    response.writeHead(answer.statusCode ?? 200, {
      ...answer.headers,
      ...(answer.cookies ? { 'set-cookie': answer.cookies } : {}),
    });
    return response.end(answer.isBase64Encoded ? Buffer.from(text, 'base64') : text);
  });
}

/** Lambda tries an asynchronous invocation that failed twice more, after a minute and after two. */
const lambdaRetriesAfterMs = [60_000, 120_000];

/** Answers client-lambda's Invoke on loopback, for functions that call each other. */
export async function serveInvoke(
  functions: Map<string, Invoke>,
  { retriesAfterMs = lambdaRetriesAfterMs } = {},
) {
  const stopped = new AbortController();
  const server = await serve('127.0.0.1', 0, async (request, response) => {
    const name = /^\/2015-03-31\/functions\/([^/]+)\/invocations/.exec(request.url ?? '')?.[1];
    const invoke = functions.get(
      decodeURIComponent(name ?? '')
        .split(':')
        .at(-1) ?? '',
    );
    if (request.method !== 'POST' || !invoke) {
      response.writeHead(404, { 'x-amzn-errortype': 'ResourceNotFoundException' });
      return response.end('{}');
    }
    const body = await read(request);
    const payload: unknown = body && body.length > 0 ? JSON.parse(body.toString('utf8')) : {};
    if (request.headers['x-amz-invocation-type'] === 'Event') {
      // As on AWS, the caller does not learn how it ends; the function's log has it.
      void tryAgain(() => invoke(payload), retriesAfterMs, stopped.signal);
      return response.writeHead(202).end();
    }
    try {
      const result = payloadOf(await invoke(payload));
      return response.writeHead(200, { 'content-type': 'application/json' }).end(result);
    } catch (error) {
      const { errorType = 'Error', message } = error as InvocationFailed;
      response.writeHead(200, { 'x-amz-function-error': 'Unhandled', 'content-type': 'application/json' });
      return response.end(JSON.stringify({ errorType, errorMessage: message }));
    }
  });
  return {
    url: server.url,
    stop() {
      stopped.abort();
      return server.stop();
    },
  };
}

async function tryAgain(work: () => Promise<unknown>, afterMs: number[], signal: AbortSignal): Promise<void> {
  for (const waitMs of [...afterMs, undefined]) {
    const worked = await work().then(
      () => true,
      () => false,
    );
    if (worked || waitMs === undefined) return;
    // Ends early when the server stops; nothing is to be tried then.
    if (!(await sleep(waitMs, true, { signal, ref: false }).catch(() => false))) return;
  }
}

/** @throws InvocationFailed for an answer that Lambda would not pass on */
function payloadOf(result: unknown): string {
  const payload = JSON.stringify(result ?? null);
  if (Buffer.byteLength(payload) <= maxAnswerBytes) return payload;
  throw new InvocationFailed(
    'Function.ResponseSizeTooLarge',
    `an answer of more than ${maxAnswerBytes} bytes`,
  );
}

/** @returns the base URL under which this machine reaches what listens on `host` */
export function addressOf(host: string, port: number): string {
  if (host === '0.0.0.0' || host === '::') return `http://127.0.0.1:${port}`;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

async function read(request: IncomingMessage): Promise<Buffer | undefined> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes <= maxBodyBytes) parts.push(part);
  }
  return bytes > maxBodyBytes ? undefined : Buffer.concat(parts);
}

async function serve(
  host: string,
  port: number,
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<unknown>,
): Promise<{ url: string; stop(): Promise<void> }> {
  const server: Server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      const isFunctionError = error instanceof InvocationFailed;
      if (!response.headersSent) response.writeHead(isFunctionError ? 502 : 500);
      response.end(isFunctionError ? 'Internal Server Error' : '');
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const { port: actual } = server.address() as AddressInfo;
  return {
    url: addressOf(host, actual),
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
