import { sql } from '../db/sql.ts';

/**
 * How many more jobs provider `p` may have in work at once; null where that is not limited. Counts no further than the
 * limit, so a provider that holds a million jobs costs nothing here.
 */
export const freePermits = sql.fragment`case when p.concurrency is not null then p.concurrency - (
  select count(*) from (
    select from research_jobs j where j.provider_id = p.id and j.status = 'processing' limit p.concurrency
  ) held) end`;

/** Until when provider `p` is asked nothing: it is paused, or of its quota nothing is left. Null where neither ever was. */
export const heldUntil = sql.fragment`greatest(p.paused_until, case when p.quota_asks <= 0 then p.quota_until end)`;
