import type { Db } from './connect.ts';
import { type Statement, sql } from './sql.ts';

/** Runs a statement as `walking` says, in a transaction whose other statements are planned as ever. */
export async function walk<Row>(tx: Db, statement: Statement): Promise<Row[]> {
  await tx.query(sql('walk.begin')`
    select set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true)`);
  const rows = await tx.query<Row>(statement);
  await tx.query(sql('walk.end')`
    select set_config('enable_sort', 'on', true), set_config('enable_bitmapscan', 'on', true)`);
  return rows;
}
