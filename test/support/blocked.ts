import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';

/** Until so many in this database wait for a lock. */
export async function untilBlocked(db: Db, count = 1): Promise<void> {
  for (let tries = 0; tries < 1_000; tries++) {
    const blocked = await db.query(sql('test.blocked')`
      select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`);
    if (blocked.length >= count) return;
    await sleep(10);
  }
  throw new Error('nobody waits');
}
