import { createHash } from 'node:crypto';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';

/** What an answer was read under, as its ETag says. */
interface Tag {
  epoch: string;
  xmin: string;
  /** As it was given. */
  text: string;
}

const tagPattern = /^(?:W\/)?"([0-9a-f]{1,16}-[0-9A-F]{8})\.(\d{1,19})\.([\w-]{22})"$/;

/**
 * Says, in one statement, whether an answer with this tag still stands, and which tag the answer has: the one that stands, or
 * the one that an answer read from now on gets.
 * A tag names the oldest transaction that still ran when its answer was read: everything that the answer did not see
 * has that number or a higher one, a slow writer that began long before included. So the answer stands while the tenant
 * has no change of such a transaction.
 * @param subject tells answers apart: tenant, URL, scopes; a tag of another subject never stands
 * @param given the If-None-Match header
 */
export async function validate(
  { db }: { db: Db },
  tenantId: string,
  subject: string[],
  given: string | undefined,
): Promise<{ stands: boolean; tag: string }> {
  const digest = createHash('sha256')
    .update(JSON.stringify([tenantId, ...subject]))
    .digest('base64url')
    .slice(0, 22);
  const tag = parse(given, digest);
  const [here] = await db.query<{ epoch: string; xmin: string; stands: boolean }>(sql('changes.validate')`
    select aim.cluster_epoch() as epoch, pg_snapshot_xmin(pg_current_snapshot())::text as xmin,
      case when ${tag !== undefined} then (select xid from change_floor) < ${tag?.xmin ?? '0'}::xid8
        and not aim.changed_since(${tenantId}, ${tag?.xmin ?? '0'}::xid8) else false end as stands`);
  if (!here) throw new Error('the database did not say where it is');
  const stands = here.stands && tag?.epoch === here.epoch && BigInt(tag.xmin) <= BigInt(here.xmin);
  return { stands, tag: stands ? tag.text : `W/"${here.epoch}.${here.xmin}.${digest}"` };
}

function parse(given: string | undefined, subject: string): Tag | undefined {
  for (const each of given?.split(',') ?? []) {
    const text = each.trim();
    const [, epoch, xmin, of] = tagPattern.exec(text) ?? [];
    if (epoch && xmin && of === subject) return { epoch, xmin, text };
  }
  return undefined;
}
