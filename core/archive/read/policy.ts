import type { ArchivePolicy, ArchivePolicyDraft } from '../../contract/archives.ts';
import type { Db } from '../../db/connect.ts';
import { sql } from '../../db/sql.ts';

const columns = sql.fragment`idle_days as "idleDays", ended_days as "endedDays", closed,
  retention_days as "retentionDays", version`;

/** What a tenant has who never gave a policy: nothing is archived, nothing is deleted. */
const none: ArchivePolicy = {
  idleDays: null,
  endedDays: null,
  closed: false,
  retentionDays: null,
  version: null,
};

export async function getPolicy({ db }: { db: Db }, tenantId: string): Promise<ArchivePolicy> {
  const [policy] = await db.query<ArchivePolicy>(sql('archive_policies.get')`
    select ${columns} from archive_policies where user_id = ${tenantId}`);
  return policy ?? none;
}

/** Holds from the next night on. */
export async function putPolicy(
  { db }: { db: Db },
  tenantId: string,
  { idleDays, endedDays, closed, retentionDays }: ArchivePolicyDraft,
): Promise<ArchivePolicy> {
  const [policy] = await db.query<ArchivePolicy>(sql('archive_policies.put')`
    insert into archive_policies (user_id, idle_days, ended_days, closed, retention_days)
    values (${tenantId}, ${idleDays}, ${endedDays}, ${closed}, ${retentionDays})
    on conflict (user_id) do update set idle_days = excluded.idle_days, ended_days = excluded.ended_days,
      closed = excluded.closed, retention_days = excluded.retention_days, version = archive_policies.version + 1,
      updated_at = now()
    returning ${columns}`);
  return policy as ArchivePolicy;
}
