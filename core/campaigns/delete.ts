import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { NotFound } from '../errors.ts';
import { removal } from './remove.ts';

const campaignsPerRound = 100;

/**
 * Deletes a campaign with everything below it. It is out of sight at once, and writes below it are refused; its rows go
 * in bounded transactions, most of them before this returns, and the sweep goes on with the rest.
 * @throws NotFound, also the second time
 */
export async function deleteCampaign(
  { db }: { db: Db },
  tenantId: string,
  id: string,
  { budgetMs = 2_000 }: { budgetMs?: number } = {},
): Promise<void> {
  // Leaves the key alone, so that it waits for no writer: one that came first may end, its rows go with the others.
  const marked = await db.query(sql('campaigns.delete')`
    update campaigns set deleted_at = now(), version = version + 1, updated_at = now()
    where id = ${id} and user_id = ${tenantId} and deleted_at is null returning id`);
  if (marked.length === 0) throw new NotFound('campaign', id);
  await removeAll(db, [id], Date.now() + budgetMs);
}

/**
 * Goes on with campaigns whose deletion was asked for, in turns, so that a large one does not hold up the others.
 * @param tenantId whose; everybody's when absent
 * @returns how many are gone, and how many were left for another time
 */
export async function removeDeleted(
  db: Db,
  { tenantId, budgetMs }: { tenantId?: string; budgetMs: number },
): Promise<{ removed: number; left: number }> {
  const until = Date.now() + budgetMs;
  const whose = tenantId === undefined ? sql.empty : sql.fragment`and user_id = ${tenantId}`;
  let removed = 0;
  for (;;) {
    const round = await db.query<{ id: string }>(sql('campaigns.deleted')`
      select id from campaigns where deleted_at is not null ${whose}
      order by deleted_at, id limit ${campaignsPerRound}`);
    const gone = await removeAll(
      db,
      round.map((campaign) => campaign.id),
      until,
    );
    removed += gone;
    if (gone < round.length || round.length < campaignsPerRound)
      return { removed, left: round.length - gone };
  }
}

async function removeAll(db: Db, ids: string[], until: number): Promise<number> {
  let gone = 0;
  let open = ids.map((id) => removal(db, id));
  while (open.length > 0 && Date.now() < until) {
    const unfinished: typeof open = [];
    for (const step of open) {
      const state = Date.now() < until ? await step() : 'more';
      if (state === 'gone') gone++;
      if (state === 'more') unfinished.push(step);
    }
    open = unfinished;
  }
  return gone;
}
