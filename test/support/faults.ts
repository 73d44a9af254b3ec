import type { Socket } from 'node:net';
import { sql } from '../../core/db/sql.ts';
import { dispatch } from '../../core/research/dispatch.ts';
import { aConveyor } from './conveyor.ts';
import type { TestDatabase } from './database.ts';
import { aWorld, type ProviderOverrides } from './factories.ts';
import { http, rawProvider } from './raw-provider.ts';

export type Respond = Parameters<typeof rawProvider>[0];
export type AskOptions = ProviderOverrides & {
  tls?: NonNullable<Parameters<typeof rawProvider>[1]>['tls'];
  /** What the provider's URL becomes; its own unless given. */
  at?: (url: string) => string;
};

interface Seen {
  status: string;
  retries: number;
  throttles: number;
  code: string | null;
  message: string | null;
  /** Of the attempt. */
  outcome: string;
  httpStatus: number | null;
  latencyMs: number;
  /** Until the job, and the provider, are due again. */
  delayMs: number;
  pauseMs: number | null;
}

/** Sends one job to a provider that behaves so, once. @returns what became of the job, its attempt and the provider */
export async function oneAsk(db: TestDatabase, respond: Respond, { tls, at, ...options }: AskOptions = {}) {
  const remote = await rawProvider(respond, tls ? { tls } : {});
  const url = at ? at(remote.url) : remote.url;
  const world = await aWorld(db, { companies: 1, timeoutMs: 5_000, ...options, url });
  const conveyor = aConveyor(db);
  const logged: unknown[] = [];
  conveyor.deps.log = {
    info: (...line: unknown[]) => void logged.push(line),
    warn: (...line: unknown[]) => void logged.push(line),
  } as typeof conveyor.deps.log;
  const batchId = await conveyor.start(world.tenantId, world.campaignId);
  const ids = conveyor.sent.splice(0).flatMap((message) => message.body.jobIds);
  await dispatch(conveyor.deps, ids, { remainingMs: () => 60_000 });
  const [job] = await db.query<Seen>(sql('test.seen')`
    select j.status, j.retry_count as retries, j.throttle_count as throttles, j.error_code as code,
      j.error_message as message, a.outcome, a.http_status as "httpStatus", a.latency_ms as "latencyMs",
      (extract(epoch from j.run_at - j.updated_at) * 1000)::float8 as "delayMs",
      (extract(epoch from p.paused_until - p.updated_at) * 1000)::float8 as "pauseMs"
    from research_jobs j join research_attempts a on a.job_id = j.id join research_providers p on p.id = j.provider_id
    where j.batch_id = ${batchId}`);
  if (!job) throw new Error('the job was not asked for');
  return {
    ...world,
    job,
    remote,
    conveyor,
    logged,
    batchId,
    close: () => Promise.all([remote.close(), conveyor.close()]),
  };
}

/** Waits for the provider's connections to be closed from our side; fails when they stay open. */
export async function allClosed(remote: { open(): number }) {
  for (let tries = 500; remote.open() > 0 && tries > 0; tries--)
    await new Promise((done) => setTimeout(done, 10));
  if (remote.open() > 0) throw new Error('the connection was not cut');
}

/** Answers with these bytes. */
export const saying =
  (text: string | Buffer): Respond =>
  (socket) =>
    void socket.write(text);
/** In place of a content-length. */
export const chunked = { 'transfer-encoding': 'chunked', 'content-length': '' };
/** The head of a 200 whose body is written apart. */
export const headOf = (headers: Record<string, string>) =>
  `HTTP/1.1 200 OK\r\n${Object.entries(headers)
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`;
export const chunk = (part: Buffer) =>
  Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]);
export const binary = (status: number, body: Buffer, headers: Record<string, string>) =>
  Buffer.concat([Buffer.from(http(status, '', { ...headers, 'content-length': `${body.length}` })), body]);
/** Writes `text` over and over, a character at a time. */
export const drip = (socket: Socket, text: string, everyMs: number) => {
  let at = 0;
  const timer = setInterval(() => socket.write(text[at++ % text.length] ?? ''), everyMs);
  socket.on('close', () => clearInterval(timer));
};
