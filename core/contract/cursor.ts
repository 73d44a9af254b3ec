import { createHash } from 'node:crypto';
import { z } from 'zod';
import { InvalidCursor } from '../errors.ts';

/** Where a page ended: the sort key of its last row, time as text with its µs. */
export interface Position {
  createdAt: string;
  id: string;
}

const Cursor = z.strictObject({
  v: z.literal(1),
  h: z.string(),
  t: z.string().regex(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$/),
  i: z.guid(),
});

/** What a cursor is tied to: the list, its filter and its order. */
export function cursorScope(list: string, filter: Record<string, unknown>, order: string): string {
  const given = Object.entries(filter).filter(([, value]) => value !== undefined);
  given.sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([list, given, order]))
    .digest('base64url')
    .slice(0, 16);
}

export function encodeCursor(scope: string, { createdAt, id }: Position): string {
  return Buffer.from(JSON.stringify({ v: 1, h: scope, t: createdAt, i: id })).toString('base64url');
}

/** @throws InvalidCursor when it is broken, or belongs to another list, filter or order */
export function decodeCursor(scope: string, cursor: string): Position {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw new InvalidCursor();
  }
  const parsed = Cursor.safeParse(json);
  if (!parsed.success || parsed.data.h !== scope || !isTime(parsed.data.t)) throw new InvalidCursor();
  return { createdAt: parsed.data.t, id: parsed.data.i };
}

/** A day that exists, in a year that Postgres knows. */
function isTime(time: string): boolean {
  const ms = Date.parse(`${time.slice(0, 23)}Z`);
  return (
    !time.startsWith('0000') &&
    !Number.isNaN(ms) &&
    new Date(ms).toISOString().slice(0, 23) === time.slice(0, 23)
  );
}
