import { OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { fieldErrors } from '../../core/contract/field-errors.ts';
import type { Scope } from '../../core/contract/keys.ts';
import { Problem } from '../../core/contract/problem.ts';
import { Id } from '../../core/contract/text.ts';
import type { Db } from '../../core/db/connect.ts';
import { InvalidRequest } from '../../core/errors.ts';
import { type Answer, answered, once, type Repeatable } from '../../core/idempotency/once.ts';
import { requireScope } from './auth.ts';
import { jsonBody, rawBody } from './body.ts';
import { cached } from './caching.ts';
import type { ApiEnv } from './context.ts';

/** A router whose validation errors are ours. */
export function router(): OpenAPIHono<ApiEnv> {
  return new OpenAPIHono<ApiEnv>({
    defaultHook: (result) => {
      if (result.success) return;
      const from = result.target === 'header' ? ['headers'] : [];
      const data = (result as { data?: unknown }).data;
      throw new InvalidRequest(fieldErrors(result.error, data, from), { cause: result.error });
    },
  });
}

export function json<Schema extends z.ZodType>(schema: Schema, description: string) {
  return { description, content: { 'application/json': { schema } } };
}

export function jsonRequest<Schema extends z.ZodType>(schema: Schema) {
  return { required: true, content: { 'application/json': { schema } } };
}

export const problem = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: Problem } },
});

/** The answer of a route that may be cached to a caller whose copy still stands. */
export const unchanged = { description: 'Nothing has changed since the answer with this ETag.' };

const always = {
  401: problem('No valid API key.'),
  500: problem('Our fault; `requestId` finds it in our logs.'),
  503: problem('The database cannot be reached; try again.'),
};
/** What any route with a key can answer besides its result. */
export const problems = {
  ...always,
  400: problem('Something in the request is wrong; `errors` says what and where.'),
  403: problem('The key lacks the scope.'),
};
export const readProblems = { ...problems, 404: problem('There is no such thing in this tenant.') };
/** Rows are all there, or refused: a part of them would pass for the whole. */
export const rowProblems = {
  ...readProblems,
  409: problem('The rows are in an archive, or on their way there or back.'),
};
export const writeProblems = {
  ...readProblems,
  409: problem('The state does not allow it, or the Idempotency-Key came with another request.'),
  413: problem('The body is larger than 1 MiB.'),
  415: problem('The body is not JSON.'),
};
export const openProblems = { 500: always[500], 503: always[503] };

const security = [{ apiKey: [] as string[] }];
/** A route that reads, with a key of that scope. */
export function reads(scope?: Scope) {
  return { security, middleware: [requireScope(scope)] };
}
/** One that may be answered with 304, from what the caller holds. */
export function readsCached(scope: Scope) {
  return { security, middleware: [requireScope(scope), cached] };
}
/** A route that takes a body, with a key of that scope. */
export function writes(scope: Scope) {
  return { security, middleware: [requireScope(scope), rawBody, jsonBody] };
}

export const IdParam = z.object({ id: Id });
export const Repeat = z.object({
  'idempotency-key': z
    .string()
    .regex(/^[\x21-\x7e]{1,255}$/, '1 to 255 visible ASCII characters')
    .optional()
    .meta({
      description: 'Makes a repeat of this request harmless for a day: it gets the first answer again.',
    }),
});

/** Runs a write once for its Idempotency-Key; without a key it just runs. A repeat says so in a header. */
export async function answerOnce<Status extends number, Body>(
  c: Context<ApiEnv>,
  work: (db: Db) => Promise<Answer<Status, Body>>,
): Promise<Answer<Status, Body>> {
  const { db } = c.get('deps');
  const request = repeatable(c);
  if (!request) return work(db);
  const { repeated, ...answer } = await once({ db }, c.get('caller').tenantId, request, work);
  if (repeated) c.header('idempotency-replayed', 'true');
  return answer;
}

/** For a write that commits some of its work ahead of `answerOnce`: the answer of a repeat, which must not do that anew. */
export async function answerOfRepeat<Status extends number, Body>(
  c: Context<ApiEnv>,
): Promise<Answer<Status, Body> | undefined> {
  const request = repeatable(c);
  const answer = request && (await answered<Status, Body>(c.get('deps'), c.get('caller').tenantId, request));
  if (answer) c.header('idempotency-replayed', 'true');
  return answer;
}

function repeatable(c: Context<ApiEnv>): Repeatable | undefined {
  const key = c.req.header('idempotency-key');
  return key === undefined
    ? undefined
    : { key, method: c.req.method, path: c.req.path, body: c.get('rawBody') };
}
