import type { Db } from '../../db/connect.ts';
import { sql } from '../../db/sql.ts';
import type { Place, Run } from './run.ts';

/** Campaigns that one statement looks at. */
const examined = 500;

export interface DueCampaign {
  id: string;
  tenantId: string;
  reason: 'idle' | 'ended' | 'closed';
  place: Place;
}

/**
 * The next campaigns that their tenant's policy wants archived, those first that were not changed for longest. One with
 * an open batch waits for it. Idle: nothing in it was added or changed; ended: it has batches, and all have ended.
 * @returns them, and where the look ended; no place: that was the last
 */
export async function dueCampaigns(
  db: Db,
  run: Pick<Run, 'startedAt'>,
  after: Place | undefined,
): Promise<{ due: DueCampaign[]; looked: number; place: Place | undefined }> {
  const behind =
    after === undefined
      ? sql.empty
      : sql.fragment`and (updated_at, id) > (${after.at}::timestamptz, ${after.id}::uuid)`;
  const rows = await db.query<{
    id: string;
    tenantId: string;
    at: string;
    reason: DueCampaign['reason'] | null;
  }>(
    sql('archive.due')`
    with looked as materialized (
      select id, user_id, updated_at, closed_at from campaigns
      where (not archived and deleted_at is null) is true and updated_at < ${run.startedAt}::timestamptz ${behind}
      order by updated_at, id limit ${examined}
    )
    select c.id, c.user_id as "tenantId", c.updated_at as at, judged.reason
    from looked c
    left join archive_policies p on p.user_id = c.user_id
    left join lateral (
      select case
        when p.closed and c.closed_at is not null then 'closed'
        when p.ended_days is not null and c.updated_at < now() - make_interval(days => p.ended_days)
          and exists (select from research_batches b where b.campaign_id = c.id)
          and not exists (select from research_batches b where b.campaign_id = c.id
            and b.finished_at >= now() - make_interval(days => p.ended_days)) then 'ended'
        when p.idle_days is not null and c.updated_at < now() - make_interval(days => p.idle_days)
          and not exists (select from research_batches b where b.campaign_id = c.id
            and b.updated_at >= now() - make_interval(days => p.idle_days))
          and not exists (select from contacts r where r.campaign_id = c.id
            and r.updated_at >= now() - make_interval(days => p.idle_days))
          and not exists (select from companies r where r.campaign_id = c.id
            and r.updated_at >= now() - make_interval(days => p.idle_days))
          and not exists (select from company_research r where r.campaign_id = c.id
            and r.updated_at >= now() - make_interval(days => p.idle_days))
          and not exists (select from prospect_research r where r.campaign_id = c.id
            and r.updated_at >= now() - make_interval(days => p.idle_days)) then 'idle'
      end as reason
      where p.user_id is not null
        and not exists (select from research_batches b where b.campaign_id = c.id and b.status = 'open')
    ) judged on true
    order by c.updated_at, c.id`,
  );
  const last = rows.length === examined ? rows.at(-1) : undefined;
  return {
    looked: rows.length,
    place: last && { at: last.at, id: last.id },
    due: rows.flatMap(({ id, tenantId, at, reason }) =>
      reason === null ? [] : [{ id, tenantId, reason, place: { at, id } }],
    ),
  };
}

export interface Unfinished {
  id: string;
  tenantId: string;
  state: 'archiving' | 'restoring';
  reason: DueCampaign['reason'] | 'asked';
}

/** What was begun and not finished, oldest first, but for what failed in this run already. */
export function unfinished(db: Db, run: Run): Promise<Unfinished[]> {
  return db.query(sql('archive.unfinished')`
    select a.id, a.user_id as "tenantId", a.state, coalesce(a.progress ->> 'reason', 'asked') as reason
    from archived_campaigns a
    where a.state <> 'archived' and a.purging_at is null
      and not exists (select from archive_events e where e.run_id = ${run.id} and e.campaign_id = a.id)
    order by a.created_at, a.id limit 20`);
}
