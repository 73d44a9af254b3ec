import { z } from 'zod';
import { normaliseDomain } from '../../companies/domain.ts';
import type { ArchiveHit, ArchiveSearchQuery } from '../../contract/archives.ts';
import { cursorScope } from '../../contract/cursor.ts';
import type { Page } from '../../contract/page.ts';
import type { Db } from '../../db/connect.ts';
import { bytesPerStatement, columnsOf, maxPageBytes, sentBytes } from '../../db/keyset.ts';
import { type Fragment, sql } from '../../db/sql.ts';
import { InvalidCursor, InvalidRequest } from '../../errors.ts';
import { nameOf } from './list.ts';
import { type ArchivedTable, archivedTables } from './rows.ts';

/** Chunks that one page opens; a page that ends there is short, and has a `next`. */
const chunksPerPage = 200;

interface ChunkId {
  archive_id: string;
  table_name: string;
  number: number;
}
interface Place {
  chunk: ChunkId;
  offset: number;
}
const entities: Record<string, { entity: ArchiveHit['entity']; table: ArchivedTable }> = {
  companies: { entity: 'company', table: archivedTables.companies },
  contacts: { entity: 'contact', table: archivedTables.contacts },
  prospect_research: { entity: 'prospect', table: archivedTables.prospects },
};

/**
 * Rows with this email or domain in any of a tenant's archives. The index of hashes names the chunks, and each hit is
 * looked at in its chunk, so a hash that two words share finds nothing false.
 * @throws InvalidRequest for what is no domain, InvalidCursor
 */
export async function findArchived(
  { db }: { db: Db },
  tenantId: string,
  { email, domain, limit, cursor }: ArchiveSearchQuery,
): Promise<Page<ArchiveHit>> {
  const scope = cursorScope('archives.search', { email, domain }, '');
  let at = cursor === undefined ? undefined : decode(scope, cursor);
  const { words, matches } = email === undefined ? byDomain(domain ?? '') : byEmail(email);
  const data: ArchiveHit[] = [];
  let bytes = 0;
  const end = (place: Place): Page<ArchiveHit> => ({ data, next: encode(scope, place) });

  // The chunk that the page before stopped in comes first, and then those behind it.
  const chunks = [
    ...(at === undefined ? [] : [at.chunk]),
    ...(await chunksWith(db, tenantId, words, at?.chunk)),
  ];
  for (const chunk of chunks) {
    const searched = entities[chunk.table_name];
    const offset = at?.chunk === chunk ? at.offset : 0;
    at = { chunk, offset };
    if (!searched) continue;
    const { entity, table } = searched;
    const rows = await db.query<{ place: number; campaignName: string; row: object; isCut: boolean }>(sql(
      'archive.find',
    )`
      select hit.place, hit.name as "campaignName", bytes >= ${bytesPerStatement} as "isCut", (
          select to_jsonb(r) from (
            select ${columnsOf({ columns: table.fields })} from jsonb_populate_record(null::${table.type}, hit.value) ${table.type}
          ) r) as row
      from (
        select place, value, ${nameOf(sql.fragment`a`)} as name,
          sum(pg_column_size(value)) over (order by place rows unbounded preceding) as bytes
        from archived_campaigns a
        cross join lateral aim.archived_rows(a.id, ${chunk.table_name}, ${chunk.number}) with ordinality hit (value, place)
        where a.id = ${chunk.archive_id} and a.user_id = ${tenantId} and a.purging_at is null
          and place > ${offset} and ${matches(sql.fragment`value`)}
        order by place limit ${limit - data.length + 1}
      ) hit
      where bytes - pg_column_size(hit.value) < ${bytesPerStatement} order by hit.place`);
    let isCut = false;
    for (const { place, campaignName, row, isCut: isFull } of rows) {
      const hit = { archiveId: chunk.archive_id, campaignName, entity, row } as ArchiveHit;
      const size = sentBytes(hit);
      if (data.length === limit || (bytes + size > maxPageBytes && data.length > 0)) return end(at);
      bytes += size;
      data.push(hit);
      at = { chunk, offset: place };
      isCut = isFull;
    }
    // More hits may be behind what a statement takes.
    if (isCut) return end(at);
    // Everything in this chunk was looked at.
    at = { chunk, offset: 1000 };
  }
  const isAll = chunks.length < chunksPerPage || at === undefined;
  return isAll || at === undefined ? { data, next: null } : end(at);
}

interface Searched {
  /** Any of them. */
  words: string[];
  matches: (row: Fragment) => Fragment;
}

function byEmail(email: string): Searched {
  return {
    words: [`e:${email}`],
    matches: (row) => sql.fragment`lower(${row} ->> 'email') = lower(${email})`,
  };
}

/** Companies have the domain as we write it; an address has it as whoever gave it wrote it. */
function byDomain(given: string): Searched {
  const normalised = normaliseDomain(given);
  if (!normalised.ok || normalised.domain === null) {
    const message = normalised.ok ? 'not a domain' : normalised.reason;
    throw new InvalidRequest([{ path: 'domain', code: 'invalid_domain', message }]);
  }
  const { domain } = normalised;
  const written = given.trim().toLowerCase();
  return {
    words: [...new Set([`d:${domain}`, `d:${written}`])],
    matches: (row) => sql.fragment`(lower(${row} ->> 'domain') = ${domain}
      or split_part(lower(${row} ->> 'email'), '@', 2) in (${domain}, ${written}))`,
  };
}

function chunksWith(
  db: Db,
  tenantId: string,
  words: string[],
  after: ChunkId | undefined,
): Promise<ChunkId[]> {
  return db.query(sql('archive.lookup')`
    select distinct f.archive_id, f.table_name, f.number
    from unnest(${words}::text[]) word
    cross join lateral aim.find_archived(${tenantId}::uuid, word, ${after?.archive_id ?? null}::uuid,
      ${after?.table_name ?? null}, ${after?.number ?? null}::int, ${chunksPerPage}) f
    order by f.archive_id, f.table_name, f.number limit ${chunksPerPage}`);
}

const Cursor = z.tuple([
  z.literal(1),
  z.string(),
  z.guid(),
  z.enum(['companies', 'contacts', 'prospect_research']),
  z
    .int()
    .min(1)
    .max(2 ** 31 - 1),
  z.int().min(0).max(1000),
]);

function encode(scope: string, { chunk, offset }: Place): string {
  const { archive_id, table_name, number } = chunk;
  return Buffer.from(JSON.stringify([1, scope, archive_id, table_name, number, offset])).toString(
    'base64url',
  );
}

function decode(scope: string, cursor: string): Place {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw new InvalidCursor();
  }
  const parsed = Cursor.safeParse(json);
  if (!parsed.success || parsed.data[1] !== scope) throw new InvalidCursor();
  const [, , archive_id, table_name, number, offset] = parsed.data;
  return { chunk: { archive_id, table_name, number }, offset };
}
