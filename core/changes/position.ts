import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { encodePosition } from './cursor.ts';

/** The present position: whatever is committed from now on comes after it. */
export async function position({ db }: { db: Db }): Promise<string> {
  const [here] = await db.query<{ epoch: string; xmin: string }>(sql('changes.position')`
    select aim.cluster_epoch() as epoch, pg_snapshot_xmin(pg_current_snapshot())::text as xmin`);
  if (!here) throw new Error('the database did not say where it is');
  return encodePosition({ epoch: here.epoch, xid: here.xmin, seq: 0, offset: 0 });
}
