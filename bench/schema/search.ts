import { listContacts } from '../../core/contacts/list.ts';
import { ContactQuery } from '../../core/contract/contacts.ts';
import type { Connection } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import type { Row } from '../row.ts';
import { inTurn } from './explain.ts';
import type { Million } from './million.ts';

const terms: [kind: string, q: string, limit: number][] = [
  ['a rare name', 'quartzhammer', 20],
  ['a common name', 'anna', 20],
  ['two common words that never meet, so for typos', 'engineer anna ', 100],
  ['an unfinished word', 'ann', 20],
  ['a word that nobody has', 'xylophonistically ', 20],
  ['a typo', 'quarzhamer', 100],
];

/** Searches in the tenant with half a million contacts and in one with a hundredth of that, against a first page there. */
export async function* searches(api: Connection, { large, small }: Million): AsyncGenerator<Row> {
  for (const [size, { tenantId }] of Object.entries({ large, small })) {
    const bound = { db: api.forTenant(tenantId) };
    for (const [kind, q, limit] of terms) {
      let hits = 0;
      const times = await inTurn(11, {
        page: () => listContacts(bound, tenantId, ContactQuery.parse({})),
        search: async () => {
          hits = (await listContacts(bound, tenantId, ContactQuery.parse({ search: q }))).data.length;
        },
      });
      // What a query under the policy would do: the operator is not leakproof, so it cannot use the index.
      const { plain } = await inTurn(1, {
        plain: () =>
          bound.db.query(sql('bench.plain')`
            select id from contacts where user_id = ${tenantId} and search_vector @@ aim.search_query(${q})
            order by ts_rank(search_vector, aim.search_query(${q})) desc limit 100`),
      });
      const ratio = times.search / times.page;
      yield {
        name: `search for ${kind}, in a ${size} tenant of a million contacts`,
        value: times.search,
        unit: 'ms',
        versus: 'the first page',
        ratio,
        target: `≤ ${limit} ×`,
        holds: ratio <= limit,
        counts: { hits, 'plain query × first page': Math.round(plain / times.page) },
      };
    }
  }
}
