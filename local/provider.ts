import { createHash } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { Webhook } from 'standardwebhooks';
import { findings } from './provider/findings.ts';
import { onOrphaned } from './stack/orphan.ts';

/**
 * A sample provider: behaves like a slow n8n workflow that researches companies. It checks signatures, answers 202, and
 * calls back after a while, in parts. Every run meets its troubles: some 429s, some 500s and an ask that is never
 * answered, by the ask's place in the row; some companies that fail once, and a few that fail for good, by their domain.
 * What it finds is made up, and says so.
 */
const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    instant: { type: 'boolean', default: false },
  },
});
// By environment: arguments can be read by everyone on the machine.
const secret = process.env.PROVIDER_SECRET;
if (!secret) {
  console.error('usage: PROVIDER_SECRET=whsec_… node local/provider.ts [--port N] [--instant]');
  process.exit(2);
}
const webhook = new Webhook(secret);

interface AskedCompany {
  jobId: string;
  attemptId: string;
  company: { id: string; name: string; domain: string | null; attributes: Record<string, unknown> };
}
interface Ask {
  askId: string;
  callbackUrl: string;
  requests: AskedCompany[];
}

const timesAsked = new Map<string, number>();
const seenAsks = new Set<string>();
let asks = 0;

/** What an ask meets, by its place among all asks: trouble often at first, and rarely on a long list. */
function trouble(place: number): 'none' | 'hangs' | 'throttled' | 'crashes' {
  if (place === 3) return 'hangs';
  const early = place < 60;
  if (place % (early ? 11 : 100) === 5) return 'throttled';
  return place % (early ? 17 : 50) === 9 ? 'crashes' : 'none';
}

const chance = (text: string) => createHash('sha256').update(text).digest().readUInt16BE(0);

function answerFor({ jobId, attemptId, company }: AskedCompany) {
  const key = company.domain ?? company.name;
  const luck = chance(key);
  const asked = (timesAsked.get(company.id) ?? 0) + 1;
  timesAsked.set(company.id, asked);
  const failed = (code: string, message: string, retryable: boolean) => ({
    jobId,
    attemptId,
    status: 'failed',
    error: { code, message, retryable },
  });
  if (!values.instant && luck % 101 === 7)
    return failed('no_public_sources', 'nothing public is known of it', false);
  if (!values.instant && luck % 19 === 3 && asked === 1)
    return failed('source_busy', 'a source was busy', true);
  return { jobId, attemptId, status: 'completed', ...findings(company, luck) };
}

/** Sends a part of the results; again with a backoff until the API has taken it, for results are worth money. */
async function callBack(ask: Ask, results: unknown[], part: number): Promise<void> {
  const body = JSON.stringify({ results });
  const id = `${ask.askId}-${part}`;
  for (let attempt = 1; attempt <= 8; attempt++) {
    const now = new Date();
    try {
      const response = await fetch(ask.callbackUrl, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
          'webhook-signature': webhook.sign(id, now, body),
        },
        body,
        signal: AbortSignal.timeout(10_000),
      });
      if (response.status < 500 && response.status !== 429) return;
    } catch (error) {
      if (attempt === 8) console.error(`callback of ${ask.askId} failed: ${(error as Error).message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 250 * 2 ** attempt));
  }
}

function workOn(ask: Ask): void {
  const results = ask.requests.map(answerFor);
  const half = Math.ceil(results.length / 2);
  const slowness = 400 + (chance(ask.askId) % 1600);
  setTimeout(() => void callBack(ask, results.slice(0, half), 1), slowness);
  if (half < results.length) setTimeout(() => void callBack(ask, results.slice(half), 2), slowness + 400);
}

function readAsk(text: string): Ask | null {
  try {
    const ask = JSON.parse(text) as Partial<Ask> | null;
    return ask?.askId && ask.callbackUrl && Array.isArray(ask.requests) ? (ask as Ask) : null;
  } catch {
    return null;
  }
}

interface Answer {
  status: number;
  value: unknown;
  headers?: Record<string, string>;
}

/** @returns null when there is to be no answer at all: the asker's deadline has to end it */
function answer(text: string, headers: Record<string, string>): Answer | null {
  try {
    webhook.verify(text, headers);
  } catch {
    return { status: 401, value: { message: 'the signature is not valid' } };
  }
  const ask = readAsk(text);
  if (ask === null) return { status: 400, value: { message: 'this is not a research request' } };
  if (values.instant) return { status: 200, value: { results: ask.requests.map(answerFor) } };
  // One webhook-id is one piece of work, however often it is delivered.
  if (seenAsks.has(ask.askId)) return { status: 202, value: { message: 'Workflow was started' } };
  asks++;
  switch (trouble(asks)) {
    case 'hangs':
      return null;
    case 'throttled':
      return { status: 429, value: { message: 'too many requests' }, headers: { 'retry-after': '1' } };
    case 'crashes':
      return { status: 500, value: { message: 'the workflow has crashed' } };
    case 'none':
  }
  seenAsks.add(ask.askId);
  workOn(ask);
  return { status: 202, value: { message: 'Workflow was started' } };
}

function send(response: ServerResponse, { status, value, headers }: Answer): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}

const server = createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    const given = answer(Buffer.concat(parts).toString('utf8'), request.headers as Record<string, string>);
    if (given !== null) send(response, given);
  });
});
server.on('error', (error) => {
  console.error(`the sample provider cannot listen: ${error.message}`);
  process.exit(1);
});
server.listen(Number(values.port), '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/`;
  if (process.send) process.send({ url });
  else console.log(`the sample provider listens on ${url}`);
});
onOrphaned(() => process.exit(0));
// Ctrl-C reaches us too, but who started us decides when we end.
if (process.send) process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => process.exit(0));
