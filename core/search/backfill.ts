import type { Db } from '../db/connect.ts';
import { type Fragment, sql } from '../db/sql.ts';

const rowsPerBatch = 1_000;
const firstId = '00000000-0000-0000-0000-000000000000';

/** Rows without words, in the order of their ids; what others hold is left for the next time. */
const missing = (table: Fragment, after: string) => sql.fragment`
  select id from ${table} where search_vector is null and id > ${after}
  order by id limit ${rowsPerBatch} for no key update skip locked`;

const steps: Record<string, (after: string) => Fragment> = {
  companies: (after) => sql.fragment`
    with missing as (${missing(sql.fragment`companies`, after)})
    update companies c set search_vector = aim.search_vector(c.name, c.domain)
    from missing where c.id = missing.id returning c.id`,
  contacts: (after) => sql.fragment`
    with missing as (${missing(sql.fragment`contacts`, after)})
    update contacts c set search_vector = aim.search_vector(c.full_name, c.title, c.email)
    from missing where c.id = missing.id returning c.id`,
  company_research: (after) => sql.fragment`
    with missing as (${missing(sql.fragment`company_research`, after)})
    update company_research r set search_vector = aim.search_vector(c.name, c.domain)
    from missing, companies c where r.id = missing.id and c.id = r.company_id returning r.id`,
};

/**
 * Gives words to rows that came before the search did, as they are: neither version nor time of change moves. Each
 * batch commits on its own, and what is missing is what is left to do, so it may end anywhere and go on any time.
 * @param hasTime asked before each batch
 * @returns the rows that can be found now
 */
export async function backfillSearch(
  { db }: { db: Db },
  { hasTime }: { hasTime: () => boolean },
): Promise<number> {
  let rows = 0;
  for (const [table, step] of Object.entries(steps)) {
    // Carried forward, or each batch would begin among the dead rows of those before.
    let after = firstId;
    while (hasTime()) {
      const filled = await db.query<{ id: string }>(sql(`search.backfill.${table}`)`${step(after)}`);
      rows += filled.length;
      const last = filled
        .map(({ id }) => id)
        .sort()
        .at(-1);
      if (last === undefined) break;
      after = last;
    }
  }
  return rows;
}
