import {
  type IDataObject,
  type IExecuteFunctions,
  type ILoadOptionsFunctions,
  NodeApiError,
  sleep,
} from 'n8n-workflow';
import { type ApiAnswer, errorCode, isObject, networkError, nodeError, problemError } from './problem';

export type Caller = IExecuteFunctions | ILoadOptionsFunctions;

export interface ApiRequest {
  method: 'GET' | 'POST' | 'PUT';
  /** After the base URL, from /v1 on. */
  path: string;
  query?: IDataObject;
  body?: IDataObject;
  /** Names that the answer must have: any server may answer 200 with JSON of its own. */
  has?: string[];
  /** Makes a POST safe to repeat: without it, it is sent once. */
  idempotencyKey?: string;
  /** Of the input item this is for, to be named in errors. */
  itemIndex?: number;
}

const maxTries = 5;
const backoffMs = 500;
const maxWaitMs = 60_000;
const timeoutMs = 60_000;
const isTransient = (status: number) => [408, 425, 429].includes(status) || status >= 500;
const transientCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ERR_NETWORK',
]);

/**
 * Asks the API. A request that can be repeated without harm is tried up to 5 times on 408, 425, 429, 5xx and broken
 * connections, waiting as long as `Retry-After` says (60 s at most), or 0.5 s · 2ⁿ with jitter.
 * @returns the JSON object of a 2xx answer
 * @throws NodeApiError with the problem's detail, code and fields
 */
export async function request(this: Caller, asked: ApiRequest): Promise<IDataObject> {
  const { has = [] } = asked;
  const isWanted = ({ body }: ApiAnswer) => isObject(body) && has.every((name) => name in body);
  const { body } = await ask.call(this, asked, isWanted);
  return body as IDataObject;
}

/** The same for what may be gone. @returns undefined for a 404 */
export async function find(this: Caller, asked: ApiRequest): Promise<IDataObject | undefined> {
  try {
    return await request.call(this, asked);
  } catch (error) {
    if (error instanceof NodeApiError && error.httpCode === '404') return undefined;
    throw nodeError(this.getNode(), error, asked.itemIndex);
  }
}

/** A part of a file, in its bytes, and the cursor of the part behind it. One that does not say whether it is the last fails. */
export async function download(
  this: Caller,
  asked: ApiRequest,
): Promise<{ bytes: Buffer; next: string | undefined }> {
  const isFile = ({ body, headers }: ApiAnswer) =>
    Buffer.isBuffer(body) &&
    (headers['x-last-part'] === 'true' || typeof headers['x-next-cursor'] === 'string');
  const { body, headers } = await ask.call(this, { ...asked, bytes: true }, isFile);
  const next = headers['x-next-cursor'];
  return { bytes: body as Buffer, next: typeof next === 'string' ? next : undefined };
}

/** @param isWanted of a 2xx answer: whether it has the form asked for */
async function ask(
  this: Caller,
  asked: ApiRequest & { bytes?: boolean },
  isWanted: (answer: ApiAnswer) => boolean,
): Promise<ApiAnswer> {
  const isRepeatable = asked.method !== 'POST' || asked.idempotencyKey !== undefined;
  for (let tries = 1; ; tries++) {
    const mayRepeat = isRepeatable && tries < maxTries && !isCancelled(this);
    let answer: ApiAnswer;
    try {
      answer = await send.call(this, asked);
    } catch (error) {
      const code = errorCode(error);
      if (code === undefined || !transientCodes.has(code)) {
        // Not of the network: no credential, a domain the credential does not allow, a cancelled execution.
        throw nodeError(this.getNode(), error, asked.itemIndex);
      }
      if (!mayRepeat) throw networkError(this.getNode(), error, asked.itemIndex);
      await sleep(waitMs(tries));
      continue;
    }
    if (answer.status >= 200 && answer.status < 300 && isWanted(answer)) return answer;
    if (!mayRepeat || !isTransient(answer.status)) {
      throw problemError(this.getNode(), answer, asked.itemIndex);
    }
    await sleep(waitMs(tries, answer.headers['retry-after']));
  }
}

async function send(this: Caller, asked: ApiRequest & { bytes?: boolean }): Promise<ApiAnswer> {
  const { baseUrl } = await this.getCredentials<{ baseUrl: string }>('aimForLeadsApi', asked.itemIndex);
  const answer = await this.helpers.httpRequestWithAuthentication.call(this, 'aimForLeadsApi', {
    method: asked.method,
    // The credential's own test reads it so too.
    baseURL: baseUrl.trim().replace(/\/+$/, '').replace(/\/v1$/, ''),
    url: asked.path,
    headers: {
      ...(asked.idempotencyKey !== undefined && { 'idempotency-key': asked.idempotencyKey }),
      ...(asked.body && { 'content-type': 'application/json' }),
    },
    ...(asked.query && { qs: asked.query }),
    // As text: n8n leaves out an object that is empty, and with it the content type.
    ...(asked.body && { body: JSON.stringify(asked.body) }),
    ...(asked.bytes ? { encoding: 'arraybuffer' } : { json: true }),
    timeout: timeoutMs,
    // A redirect would turn a POST into a GET, and show the key to another host.
    disableFollowRedirect: true,
    returnFullResponse: true,
    ignoreHttpStatusErrors: true,
  });
  return { status: answer.statusCode, headers: answer.headers ?? {}, body: answer.body };
}

function isCancelled(caller: Caller): boolean {
  return 'getExecutionCancelSignal' in caller && caller.getExecutionCancelSignal()?.aborted === true;
}

/** Retry-After is a number of seconds or a date. */
function waitMs(tries: number, retryAfter?: unknown): number {
  const jittered = backoffMs * 2 ** tries * (0.5 + Math.random() / 2);
  if (typeof retryAfter !== 'string' || retryAfter === '') return jittered;
  const seconds = Number(retryAfter);
  const asked = Number.isNaN(seconds) ? Date.parse(retryAfter) - Date.now() : seconds * 1000;
  return Number.isNaN(asked) ? jittered : Math.min(Math.max(asked, 0), maxWaitMs);
}
