import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';

/** The tables in which a text stands, in whatever case: as text, within JSON, or as bytes. As the owner, all rows. */
export async function tracesOf(db: Db, text: string): Promise<string[]> {
  const tables = await db.query<{ name: string }>(sql('t')`
    select c.oid::regclass::text as name from pg_class c
    where c.relkind = 'r' and c.relnamespace in ('public'::regnamespace, 'aim'::regnamespace, 'auth'::regnamespace)
    order by 1`);
  const traces: string[] = [];
  for (const { name } of tables) {
    const [found] = await db.query<{ rows: number }>({
      statement: 't',
      text: `select count(*) as rows from ${name} t
        where strpos(lower(to_jsonb(t)::text), lower($1)) > 0 or strpos(lower(t::text), lower($1)) > 0
          or strpos(lower(to_jsonb(t)::text), encode(convert_to(lower($1), 'UTF8'), 'hex')) > 0`,
      values: [text],
    });
    if (found && found.rows > 0) traces.push(name);
  }
  return traces;
}
