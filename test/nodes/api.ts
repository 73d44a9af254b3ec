import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CampaignQuery } from '../../core/contract/campaigns.ts';
import { type Contact, ContactQuery } from '../../core/contract/contacts.ts';
import { fieldErrors } from '../../core/contract/field-errors.ts';
import type { Page } from '../../core/contract/page.ts';
import { ResearchReply, ResearchRequest } from '../../core/contract/research.ts';

export const campaignId = '0198f0c2-0000-7000-8000-000000000001';
export const batchId = '0198f0c2-0000-7000-8000-00000000000b';
const key = 'afl_test';

export interface Seen {
  method: string;
  path: string;
  query: Record<string, string>;
  body: Record<string, unknown>;
  idempotencyKey: string | undefined;
}

/** What goes wrong with one request: it is answered so, or cut (after it was done) with `cut`. */
export interface Fault {
  when: (request: Seen) => boolean;
  times?: number;
  status?: number;
  headers?: Record<string, string>;
  body?: string;
  cut?: boolean;
}

export interface FakeApi {
  url: string;
  key: string;
  seen: Seen[];
  faults: Fault[];
  /** Of the next dispatch. */
  batchId: string;
  contacts: Contact[];
  campaigns: { id: string; name: string }[];
  /** The most rows a page has, whatever is asked for. */
  pageRows: number;
  /** Requests for research that were really done, repeats of a key left out. */
  dispatched: ResearchRequest[];
  rejectAt: number[];
  stop(): Promise<void>;
}

/** A network stand-in for the API: it reads requests by the same schemas, and keeps Idempotency-Keys. */
export async function fakeApi(): Promise<FakeApi> {
  const stored = new Map<string, { body: string; answer: unknown }>();
  const server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const api: FakeApi = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    key,
    seen: [],
    faults: [],
    batchId,
    contacts: [],
    campaigns: [],
    pageRows: 5000,
    dispatched: [],
    rejectAt: [],
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const url = new URL(request.url ?? '/', api.url);
    const seen: Seen = {
      method: request.method ?? '',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
      idempotencyKey: request.headers['idempotency-key'] as string | undefined,
    };
    api.seen.push(seen);
    const fault = api.faults.find(({ when, times = 1 }) => times > 0 && when(seen));
    if (fault) fault.times = (fault.times ?? 1) - 1;
    if (fault?.status) {
      response.writeHead(fault.status, fault.headers).end(fault.body ?? '');
      return;
    }
    if (request.headers.authorization !== `Bearer ${key}`) {
      problem(response, 401, 'unauthorized', 'the API key is not known');
      return;
    }
    if (fault?.cut) response.end = () => response.destroy() as ServerResponse;
    route(seen, text, response);
  }

  function route(seen: Seen, text: string, response: ServerResponse): ServerResponse {
    if (seen.path === '/v1/contacts') {
      const query = ContactQuery.safeParse(seen.query);
      if (!query.success) return invalid(response, fieldErrors(query.error, seen.query));
      return json(response, 200, page(api.contacts, query.data));
    }
    if (seen.path === '/v1/campaigns')
      return json(response, 200, page(api.campaigns, CampaignQuery.parse(seen.query)));
    if (seen.path === `/v1/campaigns/${campaignId}/research`) return research(seen, text, response);
    if (seen.path === `/v1/jobs/${batchId}`) return json(response, 200, { id: batchId, status: 'queued' });
    return problem(response, 404, 'not_found', `there is no ${seen.path}`);
  }

  function research(seen: Seen, text: string, response: ServerResponse): ServerResponse {
    const before = stored.get(seen.idempotencyKey ?? '');
    if (before && before.body === text) return json(response, 202, before.answer);
    if (before) return problem(response, 409, 'idempotency_key_reused', 'this key was used before');
    const asked = ResearchRequest.safeParse(seen.body);
    if (!asked.success) return invalid(response, fieldErrors(asked.error, seen.body));
    api.dispatched.push(asked.data);
    const count = (asked.data.companyIds ?? asked.data.domains ?? []).length;
    const at = api.rejectAt.filter((index) => index < count);
    const answer = ResearchReply.parse({
      batchId: asked.data.dryRun ? null : api.batchId,
      status: 'open',
      accepted: count - at.length,
      deduplicated: 0,
      rejected: at.map((index) => ({
        path: `companyIds[${index}]`,
        code: 'not_found',
        message: 'no such company',
      })),
      expanding: asked.data.all === true,
    });
    if (seen.idempotencyKey) stored.set(seen.idempotencyKey, { body: text, answer });
    return json(response, 202, answer);
  }

  function page<Row>(
    rows: Row[],
    { limit, cursor }: { limit: number; cursor?: string | undefined },
  ): Page<Row> {
    const start = Number(cursor ?? 0);
    const end = start + Math.min(limit, api.pageRows);
    return { data: rows.slice(start, end), next: end < rows.length ? String(end) : null };
  }
  return api;
}

function json(response: ServerResponse, status: number, body: unknown): ServerResponse {
  return response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function problem(
  response: ServerResponse,
  status: number,
  code: string,
  detail: string,
  errors?: object[],
): ServerResponse {
  const body = { type: 'about:blank', title: 'Error', status, code, detail, requestId: 'req-1', errors };
  return response.writeHead(status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(body));
}

function invalid(response: ServerResponse, errors: object[]): ServerResponse {
  return problem(response, 400, 'invalid_request', 'the request is not valid', errors);
}
