import type { IncomingHttpHeaders } from 'node:http';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { Dispatcher } from 'undici';

export class BodyTooLarge extends Error {
  constructor(maxBytes: number) {
    super(`the answer is larger than ${maxBytes} bytes`);
  }
}

/** Bytes that are not what their headers say. */
export class BodyUnreadable extends Error {}

export interface Post {
  url: string;
  headers: Record<string, string>;
  body: string;
  /** For the whole exchange, from the name's look-up to the last byte. */
  timeoutMs: number;
  /** Of the body of an answer that `reads`, as sent and as unpacked; nothing of it is read unless given. */
  maxBytes?: number;
  /** Of which answers the body is read: a 2xx unless told otherwise. */
  reads?: (status: number) => boolean;
}

export interface Answered {
  status: number;
  /** Names in lower case. */
  headers: IncomingHttpHeaders;
  /** The body, if it was to be read: plain, or gzip unpacked, without a byte order mark. */
  text?: string;
  /** Why that body could not be read: BodyTooLarge, BodyUnreadable, TimeoutError, or what the connection failed with. */
  error?: unknown;
}

/** Of a body that says nothing to us, at most so much is taken in to keep the connection, and then it is cut. */
const maxIgnoredBytes = 64 * 1024;
const maxIgnoredMs = 1_000;

const unpack = promisify(gunzip);
const utf8 = new TextDecoder();

/**
 * POSTs and takes in the answer, with a deadline for all of it and a cap on its size; follows no redirect.
 * @throws TimeoutError once `timeoutMs` have passed without a head, or what the connection fails with before one
 */
export async function post(http: Dispatcher, request: Post): Promise<Answered> {
  const { status, headers, bytes, error } = await exchange(http, request);
  if (bytes === undefined) return { status, headers, error };
  try {
    return { status, headers, text: utf8.decode(await plain(bytes, headers, request.maxBytes ?? 0)) };
  } catch (error) {
    return { status, headers, error };
  }
}

type Exchanged = Pick<Answered, 'status' | 'headers' | 'error'> & { bytes?: Buffer };

const isGood = (status: number) => status < 300;

/** By the client's own events, for a stream and a signal for each answer cost more than a short answer does. */
function exchange(
  http: Dispatcher,
  { url, headers, body, timeoutMs, maxBytes, reads = isGood }: Post,
): Promise<Exchanged> {
  const { origin, pathname, search } = new URL(url);
  return new Promise((resolve, reject) => {
    let controller: Dispatcher.DispatchController | undefined;
    let head: Pick<Answered, 'status' | 'headers'> | undefined;
    let failure: Error | undefined;
    let kept: ReturnType<typeof gathering> | undefined;
    let left = maxIgnoredBytes;

    const fail = (error: Error) => {
      clearTimeout(timer);
      failure ??= error;
      if (head) resolve({ ...head, error });
      else reject(error);
    };
    const cut = (error: Error) => {
      fail(error);
      // Before there is a connection there is nothing to cut: it is given up once there is.
      controller?.abort(error);
    };
    // The client looks at an exchange only once connected, so a name or a handshake that hangs would outlast it.
    const atDeadline = () => cut(new DOMException('the deadline has passed', 'TimeoutError'));
    let timer = setTimeout(atDeadline, timeoutMs);

    http.dispatch(
      { origin, path: pathname + search, method: 'POST', headers, body },
      {
        onRequestStart(started) {
          controller = started;
          if (failure) started.abort(failure);
        },
        onResponseStart(_, status, answered) {
          if (status < 200) return;
          head = { status, headers: answered };
          if (maxBytes !== undefined && reads(status)) {
            kept = gathering();
            left = maxBytes;
            if (Number(answered['content-length'] ?? 0) > maxBytes) cut(new BodyTooLarge(maxBytes));
            return;
          }
          // Not waited for: whoever says no need not be heard out.
          resolve(head);
          clearTimeout(timer);
          timer = setTimeout(atDeadline, maxIgnoredMs).unref();
        },
        onResponseData(_, part) {
          left -= part.length;
          if (left < 0) cut(new BodyTooLarge(maxBytes ?? maxIgnoredBytes));
          else kept?.add(part);
        },
        onResponseEnd() {
          clearTimeout(timer);
          if (head && kept) resolve({ ...head, bytes: kept.all() });
        },
        onResponseError: (_, error) => fail(error),
      },
    );
  });
}

/** Copies parts into one buffer that doubles: a body that comes byte by byte takes no more memory than another. */
function gathering() {
  let bytes = Buffer.alloc(0);
  let length = 0;
  return {
    add(part: Buffer): void {
      const needed = length + part.length;
      if (needed > bytes.length) bytes = Buffer.concat([bytes], Math.max(needed, 2 * bytes.length));
      part.copy(bytes, length);
      length = needed;
    },
    all: () => bytes.subarray(0, length),
  };
}

/** @throws BodyTooLarge once it unpacks to more than `maxBytes`, so that no bomb goes off; BodyUnreadable */
async function plain(bytes: Buffer, headers: IncomingHttpHeaders, maxBytes: number): Promise<Buffer> {
  const encoding = String(headers['content-encoding'] ?? 'identity').toLowerCase();
  if (encoding === 'identity' || encoding === '' || bytes.length === 0) return bytes;
  if (encoding !== 'gzip' && encoding !== 'x-gzip')
    throw new BodyUnreadable('the answer is packed in a way that was not asked for');
  try {
    return await unpack(bytes, { maxOutputLength: maxBytes });
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE') throw new BodyTooLarge(maxBytes);
    throw new BodyUnreadable('the answer cannot be unpacked', { cause: error });
  }
}
