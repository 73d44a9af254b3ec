import type { Db } from './connect.ts';
import { sql } from './sql.ts';

interface TableRow {
  name: string;
  columns: string[];
  constraints: string[];
  indexes: string[];
  row_security: boolean;
}

/**
 * Writes the schema as SQL, from the catalogue: tables with columns, constraints and indexes, each sorted by name, so
 * that a difference is a change. For people and reviews; migrations are what is run.
 */
export async function dumpSchema(db: Db): Promise<string> {
  const tables = await db.query<TableRow>(sql('schema.tables')`
    select c.oid::regclass::text as name, c.relrowsecurity as row_security,
      array(
        select format('%I %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
          case when a.attcollation <> t.typcollation then format(' collate %I', k.collname) else '' end
            || case when a.attnotnull then ' not null' else '' end,
          case when d.oid is not null then ' default ' || pg_get_expr(d.adbin, d.adrelid) else '' end)
        from pg_attribute a
        join pg_type t on t.oid = a.atttypid
        left join pg_collation k on k.oid = a.attcollation
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        order by a.attnum
      ) as columns,
      array(
        select format('constraint %I %s', conname, pg_get_constraintdef(x.oid)) from pg_constraint x
        where x.conrelid = c.oid and x.contype <> 'n' order by contype, conname
      ) as constraints,
      array(
        select pg_get_indexdef(i.indexrelid) from pg_index i
        where i.indrelid = c.oid and not exists (select from pg_constraint x where x.conindid = i.indexrelid and x.contype in ('p', 'u'))
        order by i.indexrelid::regclass::text
      ) as indexes
    from pg_class c
    where c.relkind = 'r' and c.relnamespace in (select oid from pg_namespace where nspname in ('public', 'auth'))
      and c.relname <> 'aim_migrations'
    order by 1`);
  const functions = await db.query<{ definition: string }>(sql('schema.functions')`
    select pg_get_functiondef(oid) as definition from pg_proc
    where pronamespace in (select oid from pg_namespace where nspname in ('public', 'auth')) order by oid::regprocedure::text`);

  const parts = tables.map((table) =>
    [
      `create table ${table.name} (\n  ${[...table.columns, ...table.constraints].join(',\n  ')}\n);`,
      ...table.indexes.map((definition) => `${definition};`),
      ...(table.row_security ? [`alter table ${table.name} enable row level security;`] : []),
    ].join('\n'),
  );
  const routines = functions.map(({ definition }) => `${definition.trim()};`);
  return `-- Written by \`npm run schema\` from a migrated Postgres 18; do not edit.\n\n${[...parts, ...routines].join('\n\n')}\n`;
}
