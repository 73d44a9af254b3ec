import { createHash } from 'node:crypto';
import { z } from 'zod';
import { InvalidCursor } from '../errors.ts';

export type SearchedEntity = 'companies' | 'contacts' | 'research';

/** One row found. `rank` is a real as Postgres writes it; `similar` ones only look like what was asked for. */
export interface Hit {
  id: string;
  rank: string;
  way: 'exact' | 'similar';
}

const Cursor = z.strictObject({
  v: z.literal(1),
  h: z.string(),
  r: z.string().regex(/^\d(\.\d{1,40})?(e-[0-2]\d)?$/),
  i: z.guid(),
  w: z.enum(['exact', 'similar']),
});

/** Cursors of one search: tied to its entity, text and campaign, they name the last hit of a page. */
export function searchCursor(entity: SearchedEntity, filter: { q: string; campaignId?: string | undefined }) {
  const scope = createHash('sha256')
    .update(JSON.stringify(['search', entity, filter.q, filter.campaignId ?? null]))
    .digest('base64url')
    .slice(0, 16);
  return {
    encode: ({ id, rank, way }: Hit): string =>
      Buffer.from(JSON.stringify({ v: 1, h: scope, r: rank, i: id, w: way })).toString('base64url'),

    /** @throws InvalidCursor when it is broken, or of another search */
    decode(cursor: string): Hit {
      let json: unknown;
      try {
        json = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
      } catch {
        throw new InvalidCursor();
      }
      const parsed = Cursor.safeParse(json);
      if (!parsed.success || parsed.data.h !== scope) throw new InvalidCursor();
      return { id: parsed.data.i, rank: parsed.data.r, way: parsed.data.w };
    },
  };
}
