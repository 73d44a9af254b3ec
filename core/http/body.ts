import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';

export class BodyTooLarge extends Error {
  constructor(maxBytes: number) {
    super(`the answer is larger than ${maxBytes} bytes`);
  }
}

/** Bytes that are not what their headers say. */
export class BodyUnreadable extends Error {}

/**
 * Reads a body as text, plain or gzip. Both what comes in and what it unpacks to are capped, so that neither an
 * endless body nor a gzip bomb takes more memory than a few times `maxBytes`; the connection is cut at the cap.
 * @param headers of the answer, names in lower case
 * @throws BodyTooLarge or BodyUnreadable, or what the connection fails with
 */
export async function readBody(
  body: Readable,
  headers: Record<string, string | string[] | undefined>,
  { maxBytes }: { maxBytes: number },
): Promise<string> {
  const parts: Uint8Array[] = [];
  const keep = async (source: AsyncIterable<Uint8Array>) => {
    for await (const part of capped(source, maxBytes)) parts.push(part);
  };
  const encoding = String(headers['content-encoding'] ?? 'identity').toLowerCase();
  const cut = (error: Error) => {
    body.on('error', () => undefined).destroy();
    return error;
  };
  if (Number(headers['content-length'] ?? 0) > maxBytes) throw cut(new BodyTooLarge(maxBytes));
  try {
    if (encoding === 'identity' || encoding === '') await collect(body, parts, maxBytes);
    else if (encoding === 'gzip' || encoding === 'x-gzip')
      await pipeline(body, (source) => capped(source, maxBytes), createGunzip(), keep);
    else throw cut(new BodyUnreadable('the answer is packed in a way that was not asked for'));
  } catch (error) {
    if (!isZlibError(error)) throw error;
    throw new BodyUnreadable('the answer cannot be unpacked', { cause: error });
  }
  return new TextDecoder().decode(Buffer.concat(parts)); // leaves out a byte order mark
}

/** As a pipeline would, which takes longer for its own making than a short answer takes to come. */
function collect(body: Readable, parts: Uint8Array[], maxBytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const cutOff = () => Object.assign(new Error('cut off'), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
    // Over before it began: none of the events below would come.
    if (body.destroyed) return reject(body.errored ?? cutOff());
    let bytes = 0;
    body.on('data', (part: Uint8Array) => {
      bytes += part.byteLength;
      if (bytes <= maxBytes) parts.push(part);
      else body.destroy(new BodyTooLarge(maxBytes));
    });
    body.on('end', resolve);
    body.on('error', reject);
    // Where a connection was cut without an error this is all that comes.
    body.on('close', () => {
      if (!body.readableEnded) reject(cutOff());
    });
  });
}

async function* capped(source: AsyncIterable<Uint8Array>, maxBytes: number) {
  let bytes = 0;
  for await (const part of source) {
    bytes += part.byteLength;
    if (bytes > maxBytes) throw new BodyTooLarge(maxBytes);
    yield part;
  }
}

function isZlibError(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && code.startsWith('Z_');
}
