import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import type { Row } from '../row.ts';
import { inTurn } from './explain.ts';
import { run } from './million.ts';

const campaigns = 100;

/** A list of 100 campaigns with their counts, against the answer that it has not changed. */
export async function* cache(
  db: Db,
  tenantId: string,
  get: (path: string, headers?: Record<string, string>) => Promise<Response>,
): AsyncGenerator<Row> {
  await db.query(sql('bench.campaigns')`
    insert into campaigns (user_id, name) select ${tenantId}, 'Campaign ' || n from generate_series(1, ${campaigns}::int) n`);
  const path = `/v1/campaigns?limit=${campaigns}`;
  const first = await get(path);
  const etag = first.headers.get('etag');
  if (first.status !== 200 || etag === null)
    throw new Error(`the list answered ${first.status} without an ETag`);
  const whole = async () => {
    const answer = await get(path);
    await answer.json();
    return answer.status;
  };
  const unchanged = async () => (await get(path, { 'if-none-match': etag })).status;
  if ((await unchanged()) !== 304) throw new Error('an unchanged list is not a 304');

  const times = await inTurn(201, { whole, unchanged });
  yield {
    name: `304 for a list of ${campaigns} campaigns`,
    value: times.unchanged,
    unit: 'ms',
    versus: 'the full answer',
    ratio: times.unchanged / times.whole,
    target: '≤ 0.5 ×',
    holds: times.unchanged <= 0.5 * times.whole,
    counts: {
      'statements of a 304': await statementsOf(db, unchanged),
      'statements of the full answer': await statementsOf(db, whole),
    },
  };
}

/** As the server counted them, begin and commit left out. */
async function statementsOf(db: Db, work: () => Promise<unknown>): Promise<number> {
  await run(db, 'select pg_stat_statements_reset()');
  await work();
  const [row] = await db.query<{ calls: number }>(sql('bench.statements')`
    select coalesce(sum(s.calls), 0)::bigint as calls from pg_stat_statements s join pg_roles r on r.oid = s.userid
    where r.rolname = 'aim_api' and s.toplevel and s.query !~* '^(begin|commit)'`);
  return row?.calls ?? 0;
}
