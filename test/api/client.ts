import type { ArchiveTask } from '../../core/archive/task.ts';
import type { Scope } from '../../core/contract/keys.ts';
import type { Db, TenantDb } from '../../core/db/connect.ts';
import type { DeliveryMessage } from '../../core/deliveries/queue.ts';
import { urlGuard } from '../../core/http/guard.ts';
import { createKey } from '../../core/keys/create.ts';
import type { OutgoingMessage } from '../../core/research/queue.ts';
import { buildApp } from '../../lambdas/api/app.ts';
import type { TestDatabase } from '../support/database.ts';
import { aTenant } from '../support/factories.ts';

// biome-ignore lint/suspicious/noExplicitAny: answers of any route
export type Json = any;
export interface Reply {
  status: number;
  headers: Headers;
  body: Json;
}

/** The API over a test database, as its own role, with every statement, sent message and log line noted. */
export function anApi(
  given: TestDatabase | TenantDb | Db,
  { allowedNetworks = ['127.0.0.0/8'] }: { allowedNetworks?: string[] } = {},
) {
  const db: Db & Partial<TenantDb> = 'asApi' in given ? given.asApi : given;
  const statements: string[] = [];
  const messages: OutgoingMessage[] = [];
  const deliveries: OutgoingMessage<DeliveryMessage>[] = [];
  const tasks: ArchiveTask[] = [];
  const logged: { event: string; fields: Record<string, unknown> }[] = [];
  const noted = (inner: Db): Db => ({
    query: (statement) => {
      statements.push(statement.statement);
      return inner.query(statement);
    },
    transaction: (work) => inner.transaction((tx) => work(noted(tx))),
  });
  const log = (event: string, fields: Record<string, unknown>) => {
    logged.push({ event, fields });
  };
  const app = buildApp({
    db: { ...noted(db), forTenant: (id) => noted(db.forTenant?.(id) ?? db) },
    queue: {
      async send(sent) {
        messages.push(...sent);
        return [];
      },
    },
    deliveries: {
      async send(sent) {
        deliveries.push(...sent);
        return [];
      },
    },
    log: { info: log, warn: log },
    clock: () => Date.now(),
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    refusal: urlGuard(allowedNetworks),
    async invokeArchive(task) {
      tasks.push(task);
    },
  });
  return { app, statements, messages, deliveries, tasks, logged };
}

export type Api = ReturnType<typeof anApi>;

/** A tenant with a key, and requests that carry it. */
export async function aClient(
  db: Db,
  { app }: Api,
  { scopes = ['read', 'write', 'research'], tenantId }: { scopes?: Scope[]; tenantId?: string } = {},
) {
  const tenant = tenantId ?? (await aTenant(db));
  const { key } = await createKey({ db }, tenant, { name: 'test', scopes });
  async function send(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Reply> {
    const hasBody = body !== undefined;
    const response = await app.request(path, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(hasBody ? { 'content-type': 'application/json' } : {}),
        ...headers,
      },
      ...(hasBody ? { body: typeof body === 'string' ? body : JSON.stringify(body) } : {}),
    });
    const text = await response.text();
    const isJson =
      /json(;|$)/.test(response.headers.get('content-type') ?? '') &&
      !/ndjson/.test(response.headers.get('content-type') ?? '');
    return {
      status: response.status,
      headers: response.headers,
      body: text === '' ? null : isJson ? JSON.parse(text) : text,
    };
  }
  return {
    tenantId: tenant,
    key,
    send,
    get: (path: string) => send('GET', path),
    post: (path: string, body: unknown, headers?: Record<string, string>) =>
      send('POST', path, body, headers),
    put: (path: string, body: unknown, headers?: Record<string, string>) => send('PUT', path, body, headers),
    async campaign(name = 'Autumn'): Promise<string> {
      return (await send('POST', '/v1/campaigns', { name })).body.id;
    },
    /** Every row of a list, walked page by page. */
    async walk(path: string): Promise<Json[]> {
      const rows: Json[] = [];
      for (let cursor: string | null = ''; cursor !== null; ) {
        const reply: Reply = await send('GET', `${path}${cursor === '' ? '' : `&cursor=${cursor}`}`);
        if (reply.status !== 200) throw new Error(JSON.stringify(reply.body));
        rows.push(...reply.body.data);
        cursor = reply.body.next;
      }
      return rows;
    },
  };
}
export type Client = Awaited<ReturnType<typeof aClient>>;
