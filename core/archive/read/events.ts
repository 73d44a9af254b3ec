import type { ArchiveEvent, ArchiveEventQuery } from '../../contract/archives.ts';
import type { Page } from '../../contract/page.ts';
import type { Db } from '../../db/connect.ts';
import { type ListShape, readPage } from '../../db/keyset.ts';
import { ofTenant } from '../../db/scope.ts';
import { created, utc } from '../../db/sorts.ts';
import { sql } from '../../db/sql.ts';

const shape: ListShape = {
  name: 'archive_events',
  table: sql.fragment`archive_events`,
  columns: {
    id: sql.fragment`id`,
    campaignId: sql.fragment`campaign_id`,
    action: sql.fragment`action`,
    outcome: sql.fragment`outcome`,
    reason: sql.fragment`reason`,
    errorCode: sql.fragment`error_code`,
    errorMessage: sql.fragment`error_message`,
    rows: sql.fragment`rows`,
    ms: sql.fragment`ms`,
    createdAt: utc(sql.fragment`created_at`),
  },
  sorts: { created },
};

/** What was archived, restored and purged, what failed and why, newest first. */
export function listEvents(
  { db }: { db: Db },
  tenantId: string,
  { limit, cursor }: ArchiveEventQuery,
): Promise<Page<ArchiveEvent>> {
  return readPage(db, shape, { limit, cursor, order: 'desc' }, { filter: {}, scope: ofTenant(tenantId) });
}
