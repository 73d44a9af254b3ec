import type { Db } from '../../db/connect.ts';
import { type FoldedChunk, foldInChunks } from '../../db/fold.ts';
import { sql } from '../../db/sql.ts';

const deltasPerChunk = 5_000;

/**
 * Adds the deltas of the counts to their campaigns, in chunks that commit on their own: what is shown stays the same,
 * and reading it costs less. Nobody waits for a fold: writers only share the campaign's key, which it leaves alone, and
 * what another holds it skips, until the next time. Neither version nor time of a campaign is raised.
 * @returns how many deltas are gone; 0 as well while another fold is running
 */
export function fold(db: Db, budget: { budgetMs: number }): Promise<number> {
  return foldInChunks((after) => foldChunk(db, after), budget);
}

function foldChunk(db: Db, after: number): Promise<FoldedChunk> {
  return db.transaction(async (tx) => {
    // Two folds would only skip each other's rows.
    const [lock] = await tx.query<{ mine: boolean }>(sql('counts.fold_alone')`
      select pg_try_advisory_xact_lock(hashtextextended('aim.counts.fold', 0)) as mine`);
    if (!lock?.mine) return { folded: 0, next: null };
    const [chunk] = await tx.query<{ count: number; last: number; campaigns: string[] }>(sql(
      'counts.fold_next',
    )`
      select count(*), max(id) as last, array_agg(distinct campaign_id) as campaigns
      from (
        select id, campaign_id from campaign_count_deltas where id > ${after} order by id limit ${deltasPerChunk}
      ) chunk`);
    if (!chunk || chunk.count === 0) return { folded: 0, next: null };

    // Lock in one statement, add in the next, which sees the campaign as it was locked.
    const held = await tx.query<{ id: string }>(sql('counts.fold_lock')`
      select id from campaigns where id = any(${chunk.campaigns}::uuid[]) order by id for no key update skip locked`);
    const [done] = await tx.query<{ folded: number }>(sql('counts.fold')`
      with taken as (
        delete from campaign_count_deltas
        where id > ${after} and id <= ${chunk.last}
          and (
            campaign_id = any(${held.map((campaign) => campaign.id)}::uuid[])
            -- Of a campaign that is gone.
            or not exists (select from campaigns c where c.id = campaign_id)
          )
        returning campaign_id, companies, contacts
      ), total as (
        select campaign_id, sum(companies) as companies, sum(contacts) as contacts from taken group by campaign_id
      ), added as (
        update campaigns c
        set companies_count = c.companies_count + total.companies, contacts_count = c.contacts_count + total.contacts
        from total where c.id = total.campaign_id
      )
      select count(*) as folded from taken`);
    return { folded: done?.folded ?? 0, next: chunk.count < deltasPerChunk ? null : chunk.last };
  });
}
