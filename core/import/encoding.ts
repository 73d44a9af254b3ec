import iconv from 'iconv-lite';
import { CsvRejected } from './rejected.ts';

export type Bytes = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
export type Encoding = 'utf8' | 'utf16le' | 'utf16be' | 'win1252';

const sampleBytes = 4_096;

function startsWith(head: Uint8Array, ...signature: number[]): boolean {
  return signature.every((byte, index) => head[index] === byte);
}

/** UTF-16 without a byte order mark shows as zeros on one side of most pairs. */
function guessUtf16(head: Uint8Array): Encoding | null {
  const zeros = [0, 0];
  for (const [index, byte] of head.entries()) if (byte === 0) zeros[index % 2] = (zeros[index % 2] ?? 0) + 1;
  const [even = 0, odd = 0] = zeros;
  const many = head.length / 8;
  if (odd > many && even === 0) return 'utf16le';
  return even > many && odd === 0 ? 'utf16be' : null;
}

function fromHead(head: Uint8Array): Encoding | null {
  if (startsWith(head, 0x50, 0x4b, 3, 4)) {
    throw new CsvRejected('this is an Excel workbook or a zip archive; save it as CSV', { row: 1 });
  }
  if (startsWith(head, 0x1f, 0x8b)) throw new CsvRejected('this is a gzip file; unpack it first', { row: 1 });
  if (startsWith(head, 0xff, 0xfe, 0, 0))
    throw new CsvRejected('UTF-32 is not read; save it as UTF-8', { row: 1 });
  if (startsWith(head, 0xef, 0xbb, 0xbf)) return 'utf8';
  if (startsWith(head, 0xff, 0xfe)) return 'utf16le';
  if (startsWith(head, 0xfe, 0xff)) return 'utf16be';
  return guessUtf16(head);
}

/**
 * Reads the bytes once to learn how they are written: by their byte order mark, by the zeros of UTF-16, as UTF-8 when
 * all are, or fewer are not than there are letters in it, and else as Windows-1252, which Latin-1 is a part of; hardly
 * any two of its letters look like one in UTF-8. Memory does not grow with the file.
 * @returns `damaged` when it is UTF-8 and some bytes are not: they are decoded as U+FFFD
 * @throws CsvRejected for a workbook, an archive or UTF-32
 */
export async function detectEncoding(bytes: Bytes): Promise<{ encoding: Encoding; damaged: boolean }> {
  let head: Uint8Array = new Uint8Array(0);
  let valid = true;
  let letters = 0;
  let broken = 0;
  const strict = new TextDecoder('utf-8', { fatal: true });
  const lenient = new TextDecoder('utf-8');
  const read = (chunk: Uint8Array | null) => {
    valid = valid && validUtf8(strict, chunk);
    const text = chunk === null ? lenient.decode() : lenient.decode(chunk, { stream: true });
    for (let index = 0; index < text.length; index += 1) {
      const unit = text.charCodeAt(index);
      if (unit === 0xfffd) broken += 1;
      else if (unit > 0x7f) letters += 1;
    }
  };
  for await (const chunk of bytes) {
    if (head.length < sampleBytes) head = Buffer.concat([head, chunk]);
    read(chunk);
  }
  read(null);
  const isUtf8 = valid || letters > broken;
  const encoding = fromHead(head.subarray(0, sampleBytes)) ?? (isUtf8 ? 'utf8' : 'win1252');
  return { encoding, damaged: encoding === 'utf8' && !valid };
}

function validUtf8(decoder: InstanceType<typeof TextDecoder>, chunk: Uint8Array | null): boolean {
  try {
    if (chunk === null) decoder.decode();
    else decoder.decode(chunk, { stream: true });
    return true;
  } catch {
    return false;
  }
}

/** The bytes as text, a piece at a time, without the byte order mark. */
export async function* decoded(bytes: Bytes, encoding: Encoding): AsyncGenerator<string> {
  const decoder = iconv.getDecoder(encoding, { stripBOM: true });
  for await (const chunk of bytes) {
    const text = decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    if (text !== '') yield text;
  }
  const last = decoder.end();
  if (last) yield last;
}
