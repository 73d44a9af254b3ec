import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';

/**
 * Waits until every transaction that began before now, in whatever database of the cluster, has ended: other tests share
 * the cluster, and the feed shows nothing that one of theirs might still come before. A million rows load for half a minute.
 */
export async function horizonPassed(db: Db): Promise<void> {
  const [now] = await db.query<{ xid: string }>(sql('test.xid')`select pg_current_xact_id()::text as xid`);
  for (let look = 0; look < 6_000; look++) {
    const [row] = await db.query<{ passed: boolean }>(sql('test.passed')`
      select pg_snapshot_xmin(pg_current_snapshot()) > ${now?.xid}::xid8 as passed`);
    if (row?.passed) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('a transaction of another test does not end');
}
