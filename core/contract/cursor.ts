import { createHash } from 'node:crypto';
import { z } from 'zod';
import { InvalidCursor } from '../errors.ts';

/** Where a page ended: the sort key of the last row looked at, as text (a time with its µs), and its id. */
export interface Position {
  key: string;
  id: string;
}

/** `[version, scope, key, id]`; version 1 knew times only. */
const Cursor = z.tuple([z.literal(2), z.string(), z.string(), z.guid()]);

/** What a cursor is tied to: the list, its filter, its sort and order; not the size or the fields of a page. */
export function cursorScope(list: string, filter: Record<string, unknown>, sort: string): string {
  const given = Object.entries(filter).filter(([, value]) => value !== undefined);
  given.sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([list, given, sort]))
    .digest('base64url')
    .slice(0, 16);
}

export function encodeCursor(scope: string, { key, id }: Position): string {
  return Buffer.from(JSON.stringify([2, scope, key, id])).toString('base64url');
}

/**
 * @param isKey whether a text can be a key of this sort
 * @throws InvalidCursor when it is broken, or belongs to another list, filter, sort or order
 */
export function decodeCursor(scope: string, cursor: string, isKey: (key: string) => boolean): Position {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw new InvalidCursor();
  }
  const parsed = Cursor.safeParse(json);
  if (!parsed.success) throw new InvalidCursor();
  const [, givenScope, key, id] = parsed.data;
  if (givenScope !== scope || !isKey(key)) throw new InvalidCursor();
  return { key, id };
}
