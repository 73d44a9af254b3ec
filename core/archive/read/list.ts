import type { Archive, ArchiveQuery } from '../../contract/archives.ts';
import type { Page } from '../../contract/page.ts';
import { check } from '../../db/checks.ts';
import type { Db } from '../../db/connect.ts';
import { columnsOf, type ListShape, readPage } from '../../db/keyset.ts';
import { ofTenant } from '../../db/scope.ts';
import { created, utc } from '../../db/sorts.ts';
import { type Fragment, sql } from '../../db/sql.ts';
import { NotFound } from '../../errors.ts';
import { describe, type Kept } from '../progress.ts';

/** As the campaign is called now; it may be renamed in the archive, and be gone before its archive is. */
export function nameOf(archive: Fragment): Fragment {
  return sql.fragment`coalesce((select c.name from campaigns c where c.id = ${archive}.id), ${archive}.name)`;
}

const table = sql.fragment`archived_campaigns`;
const shape: ListShape = {
  name: 'archives',
  table,
  columns: {
    id: sql.fragment`id`,
    name: nameOf(table),
    state: sql.fragment`state`,
    totals: sql.fragment`totals`,
    progress: sql.fragment`progress`,
    // Each transaction writes down that it was there; none takes as long as this.
    isMoving: sql.fragment`updated_at > clock_timestamp() - interval '2 minutes'`,
    archivedAt: utc(sql.fragment`archived_at`),
    createdAt: utc(sql.fragment`created_at`),
    updatedAt: utc(sql.fragment`updated_at`),
  },
  sorts: { created },
};

/** One page of a tenant's archives, newest first; those on their way out are not among them. */
export async function listArchives(
  { db }: { db: Db },
  tenantId: string,
  { limit, cursor, state }: ArchiveQuery,
): Promise<Page<Archive>> {
  const { data, ...page } = await readPage<Kept>(
    db,
    shape,
    { limit, cursor, order: 'desc' },
    {
      filter: { state },
      scope: ofTenant(tenantId),
      checks: [
        sql.fragment`purging_at is null`,
        ...check(state, (wanted) => sql.fragment`state = ${wanted}`),
      ],
    },
  );
  return { ...page, data: data.map(describe) };
}

/** @throws NotFound */
export async function showArchive({ db }: { db: Db }, tenantId: string, id: string): Promise<Archive> {
  const [archive] = await db.query<Kept>(sql('archives.get')`
    select ${columnsOf(shape)} from archived_campaigns
    where id = ${id} and user_id = ${tenantId} and purging_at is null`);
  if (!archive) throw new NotFound('archive', id);
  return describe(archive);
}

/** An empty page may mean a mistyped id. @throws NotFound */
export async function checkArchive({ db }: { db: Db }, tenantId: string, id: string): Promise<void> {
  const rows = await db.query(sql('archives.exists')`
    select id from archived_campaigns where id = ${id} and user_id = ${tenantId} and purging_at is null`);
  if (rows.length === 0) throw new NotFound('archive', id);
}
