import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';

/**
 * Takes the stamps of an earlier run off jobs that wait: it may have been killed between stamp and send, and the sweep
 * would notice only when the stamp is over, after a quarter of an hour. A message that did go out finds its jobs
 * claimed, and does nothing.
 */
export async function resendWaiting(db: Db): Promise<void> {
  await db.query(sql('local.resend')`
    update research_jobs set fed_until = null where status = 'queued' and fed_until is not null`);
}
