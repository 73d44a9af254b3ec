import type { Db } from '../../db/connect.ts';
import { sql } from '../../db/sql.ts';
import { companiesCount, contactsCount } from '../columns.ts';

const campaignsPerRound = 100;
const queryCanceled = '57014';

export interface Discrepancy {
  campaignId: string;
  /** Of its rows, or of a batch's jobs: by state, and how often they were tried again. */
  entity:
    | 'companies'
    | 'contacts'
    | 'queued'
    | 'processing'
    | 'completed'
    | 'failed'
    | 'cancelled'
    | 'retries';
  batchId?: string;
  shown: number;
  actual: number;
}

export interface Proof {
  /** Campaigns whose rows were counted. */
  proved: number;
  /** Counts that were wrong; right again when a repair was asked for. */
  off: Discrepancy[];
  /** Campaigns whose rows could not be counted in the time given, or that another run is counting. */
  unproved: string[];
}

/**
 * Counts the rows of campaigns and compares that with what is shown, both in one snapshot. A repair appends what is
 * missing, as a trigger would: an error stays the same whatever is written meanwhile, so the repair is right at any
 * later moment. It raises the campaign's version, which tells whoever holds a copy, and waits for that row alone.
 *
 * COUNT(*) is one scan of an index, about 10 million rows a second once they are vacuumed. It is not done in chunks:
 * each would have its own snapshot, and one snapshot over many chunks is no shorter than one statement. So time alone
 * is the bound: a campaign too large for the budget is given up and named, for `scripts/reconcile.ts` to count.
 * @param campaignIds which; those not proved for a day when absent, oldest first, and each then waits a day again
 * @param budgetMs for all of them
 */
export async function reconcile(
  db: Db,
  { campaignIds, repair, budgetMs }: { campaignIds?: string[]; repair: boolean; budgetMs: number },
): Promise<Proof> {
  const until = Date.now() + budgetMs;
  const proof: Proof = { proved: 0, off: [], unproved: [] };
  for (;;) {
    const round = campaignIds ?? (await unproved(db));
    for (const [at, id] of round.entries()) {
      const leftMs = until - Date.now();
      if (leftMs <= 0) {
        if (campaignIds) proof.unproved.push(...round.slice(at));
        return proof;
      }
      const counted = await count(db, id, { repair, timeoutMs: leftMs });
      if (counted === null) proof.unproved.push(id);
      else {
        proof.proved++;
        proof.off.push(...counted);
      }
      await noteChecked(db, id);
    }
    if (campaignIds || round.length < campaignsPerRound) return proof;
  }
}

async function unproved(db: Db): Promise<string[]> {
  const rows = await db.query<{ id: string }>(sql('counts.unproved')`
    select id from campaigns
    where deleted_at is null and counts_checked_at < now() - interval '1 day'
    order by counts_checked_at, id limit ${campaignsPerRound}`);
  return rows.map((row) => row.id);
}

/** @returns what was wrong with the counts of the campaign and of its batches, or null when they could not be counted */
async function count(
  db: Db,
  id: string,
  { repair, timeoutMs }: { repair: boolean; timeoutMs: number },
): Promise<Discrepancy[] | null> {
  try {
    return await db.transaction(async (tx) => {
      // Two repairs of one error would be an error. In a statement of its own: the next one's snapshot must be later.
      const [lock] = await tx.query<{ mine: boolean }>(sql('counts.reconcile_alone')`
        select pg_try_advisory_xact_lock(hashtextextended('aim.counts.reconcile', 0) # hashtextextended(${id}, 0)) as mine,
          set_config('statement_timeout', ${String(Math.max(1, Math.ceil(timeoutMs)))}, true)`);
      if (!lock?.mine) return null;
      const batches = await countBatches(tx, id, { repair });
      const rows = await tx.query<Discrepancy>(sql('counts.reconcile')`
        with counted as materialized (
          select id, user_id, ${companiesCount} as shown_companies, ${contactsCount} as shown_contacts,
            (select count(*) from companies where campaign_id = campaigns.id) as companies,
            (select count(*) from contacts where campaign_id = campaigns.id) as contacts
          from campaigns where id = ${id}
        ), repaired as (
          insert into campaign_count_deltas (user_id, campaign_id, companies, contacts)
          select user_id, id, companies - shown_companies, contacts - shown_contacts from counted
          where ${repair} and (companies <> shown_companies or contacts <> shown_contacts)
        )
        select id as "campaignId", entity, shown, actual
        from counted
        cross join lateral (
          values ('companies', shown_companies, companies), ('contacts', shown_contacts, contacts)
        ) each (entity, shown, actual)
        where shown <> actual`);
      if (repair && rows.length > 0) await noteRepair(tx, id);
      return [...rows, ...batches];
    });
  } catch (error) {
    if ((error as { code?: unknown }).code === queryCanceled) return null;
    throw error;
  }
}

async function noteRepair(tx: Db, id: string): Promise<void> {
  await tx.query(sql('counts.repaired')`
    update campaigns set version = version + 1, updated_at = now() where id = ${id}`);
}

function countBatches(tx: Db, campaignId: string, { repair }: { repair: boolean }): Promise<Discrepancy[]> {
  return tx.query(sql('counts.reconcile_batches')`
    with actual as (
      select j.user_id, j.batch_id,
        count(*) filter (where j.status = 'queued') as queued, count(*) filter (where j.status = 'processing') as processing,
        count(*) filter (where j.status = 'completed') as completed, count(*) filter (where j.status = 'failed') as failed,
        count(*) filter (where j.status = 'cancelled') as cancelled, sum(j.retry_count)::bigint as retries
      from research_batches b join research_jobs j on j.batch_id = b.id
      where b.campaign_id = ${campaignId} group by j.user_id, j.batch_id
    ), shown as (
      select c.user_id, c.batch_id, sum(c.queued)::bigint as queued, sum(c.processing)::bigint as processing,
        sum(c.completed)::bigint as completed, sum(c.failed)::bigint as failed, sum(c.cancelled)::bigint as cancelled,
        sum(c.retries)::bigint as retries
      from research_batches b join batch_counts c on c.batch_id = b.id
      where b.campaign_id = ${campaignId} group by c.user_id, c.batch_id
    ), each as materialized (
      select user_id, batch_id, entity, coalesce(shown_n, 0) as shown, coalesce(actual_n, 0) as actual
      from actual full join shown using (user_id, batch_id)
      cross join lateral (
        values ('queued', shown.queued, actual.queued), ('processing', shown.processing, actual.processing),
          ('completed', shown.completed, actual.completed), ('failed', shown.failed, actual.failed),
          ('cancelled', shown.cancelled, actual.cancelled), ('retries', shown.retries, actual.retries)
      ) both_ways (entity, shown_n, actual_n)
      where coalesce(shown_n, 0) <> coalesce(actual_n, 0)
    ), repaired as (
      insert into batch_counts (user_id, batch_id, queued, processing, completed, failed, cancelled, retries)
      select user_id, batch_id,
        coalesce(sum(actual - shown) filter (where entity = 'queued'), 0),
        coalesce(sum(actual - shown) filter (where entity = 'processing'), 0),
        coalesce(sum(actual - shown) filter (where entity = 'completed'), 0),
        coalesce(sum(actual - shown) filter (where entity = 'failed'), 0),
        coalesce(sum(actual - shown) filter (where entity = 'cancelled'), 0),
        coalesce(sum(actual - shown) filter (where entity = 'retries'), 0)
      from each where ${repair} group by user_id, batch_id
    )
    select ${campaignId} as "campaignId", batch_id as "batchId", entity, shown, actual from each`);
}

/** Given up or not: the campaign goes to the end of the line, or nobody behind it would ever be counted. */
async function noteChecked(db: Db, id: string): Promise<void> {
  await db.query(sql('counts.checked')`
    update campaigns set counts_checked_at = now()
    where id = (select id from campaigns where id = ${id} for no key update skip locked)`);
}
