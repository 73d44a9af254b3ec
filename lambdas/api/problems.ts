import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { Problem } from '../../core/contract/problem.ts';
import { AimError, InvalidRequest } from '../../core/errors.ts';
import type { ApiEnv } from './context.ts';

const titles: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  410: 'Gone',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** An error of HTTP itself, not of any use case. */
export class HttpError extends AimError {
  readonly headers: Record<string, string>;
  constructor(status: number, code: string, message: string, headers: Record<string, string> = {}) {
    super(message, { code, status });
    this.headers = headers;
  }
}

/** The one place where errors become answers: RFC 9457, with a stable code and the request's id. */
export function answerProblem(error: Error, c: Context<ApiEnv>): Response {
  const requestId = c.get('requestId');
  const known = translate(error);
  if (known.status >= 500) {
    // The stack names files and lines; messages of a driver may quote data, so only known ones are logged.
    const { name, stack } = error;
    const frames = stack
      ?.split('\n')
      .filter((line) => line.trimStart().startsWith('at '))
      .slice(0, 10);
    const code = (error as { code?: unknown }).code ?? (error.cause as { code?: unknown } | undefined)?.code;
    c.get('deps').log.warn('api.failed', { requestId, name, code, frames });
  }
  const problem: Problem = {
    type: 'about:blank',
    title: titles[known.status] ?? 'Error',
    status: known.status,
    code: known.code,
    detail: known.message,
    requestId,
    ...(known instanceof InvalidRequest ? { errors: known.errors } : {}),
  };
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json',
    'x-request-id': requestId,
    ...(known.status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    ...(known.status === 503 ? { 'retry-after': '5' } : {}),
    ...(known instanceof HttpError ? known.headers : {}),
  };
  return new Response(JSON.stringify(problem), { status: known.status, headers });
}

function translate(error: Error): AimError {
  if (error instanceof AimError) return error;
  // Thrown by the framework's own validators, before ours.
  if (error instanceof HTTPException && error.status === 415) return unsupportedMediaType();
  if (error instanceof HTTPException && error.status === 400) {
    return new HttpError(400, 'invalid_json', 'the body is not valid JSON');
  }
  return new AimError('something went wrong on our side; try again, and tell us the request id if it stays', {
    code: 'internal',
    status: 500,
    retryable: true,
  });
}

export function unsupportedMediaType(): HttpError {
  return new HttpError(
    415,
    'unsupported_media_type',
    'send the body as JSON, with content-type: application/json',
  );
}
