import { type INode, type JsonObject, jsonParse, NodeApiError, NodeOperationError } from 'n8n-workflow';

/** What the API says of a bad field; `path` is the way to it in the request. */
export interface FieldProblem {
  path: string;
  code: string;
  message: string;
}

interface Problem {
  code?: string;
  detail?: string;
  requestId?: string;
  errors?: FieldProblem[];
}

const shownErrors = 10;
/** What is said by whatever stands before a service that is away, or has too much to do. */
const isAway = (status: number) => status === 408 || status === 429 || status > 500;

/** An answer that is not the one asked for, as n8n shows it: what went wrong, then where and under which request id. */
export function problemError(node: INode, answer: ApiAnswer, itemIndex: number | undefined): NodeApiError {
  const { status } = answer;
  const body = Buffer.isBuffer(answer.body) ? parsed(answer.body) : answer.body;
  const problem: Problem = isProblem(body) ? body : {};
  return new NodeApiError(
    node,
    { ...asJson(problem), status, message: problem.detail ?? `HTTP status ${status}` },
    {
      message: problem.detail ?? unexpected(status, Buffer.isBuffer(answer.body) ? 'a file' : 'the JSON'),
      description: describe(problem) || hint(status),
      httpCode: String(status),
      itemIndex,
    },
  );
}

/** A request that got no answer at all. */
export function networkError(node: INode, cause: unknown, itemIndex: number | undefined): NodeApiError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new NodeApiError(node, { message: reason, code: errorCode(cause) ?? 'network' } as JsonObject, {
    message: 'The Aim for Leads API could not be reached',
    description: `${reason}. Check the base URL of the credential, and that the API runs.`,
    itemIndex,
  });
}

export interface ApiAnswer {
  status: number;
  /** Names in lower case. */
  headers: Record<string, unknown>;
  body: unknown;
}

/** Whatever an operation threw, as the kind of error n8n shows with its node and item. */
export function nodeError(
  node: INode,
  thrown: unknown,
  itemIndex?: number,
): NodeApiError | NodeOperationError {
  if (thrown instanceof NodeApiError || thrown instanceof NodeOperationError) {
    thrown.context.itemIndex ??= itemIndex;
    return thrown;
  }
  return new NodeOperationError(node, thrown instanceof Error ? thrown : String(thrown), { itemIndex });
}

/** The code of the system's error, such as ECONNREFUSED, under whatever n8n wrapped around it. */
export function errorCode(error: unknown): string | undefined {
  for (let at: unknown = error, depth = 0; isObject(at) && depth < 5; at = at.cause, depth++) {
    if (typeof at.code === 'string') return at.code;
  }
  return undefined;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whoever asked for bytes gets problems in them too. */
function parsed(bytes: Buffer): unknown {
  return jsonParse(bytes.toString(), { fallbackValue: null });
}

function asJson(problem: Problem): JsonObject {
  return { ...problem, errors: (problem.errors ?? []).map((error) => ({ ...error })) };
}

function isProblem(body: unknown): body is Problem {
  return isObject(body) && typeof body.code === 'string' && typeof body.detail === 'string';
}

function describe({ code, requestId, errors = [] }: Problem): string {
  const lines = errors
    .slice(0, shownErrors)
    .map(({ path, message }) => (path ? `${path}: ${message}` : message));
  if (errors.length > shownErrors) lines.push(`and ${errors.length - shownErrors} more`);
  if (code) lines.push(requestId ? `(${code}, request ${requestId})` : `(${code})`);
  return lines.join('\n');
}

function hint(status: number): string {
  if (isAway(status)) return 'Try again in a few minutes. If it stays so, check that the API runs.';
  return 'The answer did not come from the Aim for Leads API: check the base URL of the credential.';
}

function unexpected(status: number, wanted: string): string {
  if (status >= 300 && status < 400)
    return `The base URL answers with a redirect (${status}): use the final address`;
  if (isAway(status)) return `The Aim for Leads API is not reachable right now (HTTP status ${status})`;
  if (status < 300) return `The answer is not ${wanted} of the Aim for Leads API`;
  return `The server answered with HTTP status ${status}`;
}
