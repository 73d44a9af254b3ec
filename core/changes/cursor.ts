import { z } from 'zod';
import { InvalidCursor } from '../errors.ts';

/**
 * A place in the feed: the next thing to read is the id number `offset` of change (xid, seq), or whatever comes after
 * it. Transaction numbers count in one line of history of one cluster, its epoch.
 */
export interface FeedPosition {
  epoch: string;
  /** 64 bits in decimal; a JavaScript number would not hold it. */
  xid: string;
  seq: number;
  offset: number;
}

const Wire = z.tuple([
  z.literal(1),
  z.string().regex(/^[0-9a-f]{1,16}-[0-9A-F]{8}$/),
  z.string().regex(/^\d{1,19}$/),
  z.int().min(0),
  z.int().min(0).max(999),
]);

export function encodePosition({ epoch, xid, seq, offset }: FeedPosition): string {
  return Buffer.from(JSON.stringify([1, epoch, xid, seq, offset])).toString('base64url');
}

/** @throws InvalidCursor for what no answer ever gave out */
export function decodePosition(cursor: string): FeedPosition {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    json = undefined;
  }
  const parsed = Wire.safeParse(json);
  if (!parsed.success) throw new InvalidCursor('`after` is not a position of the feed; ask without it first');
  const [, epoch, xid, seq, offset] = parsed.data;
  return { epoch, xid, seq, offset };
}
