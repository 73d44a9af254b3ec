import type { Db } from './connect.ts';
import { sql } from './sql.ts';

interface TableRow {
  name: string;
  columns: string[];
  constraints: string[];
  indexes: string[];
  row_security: boolean;
  forced: boolean;
  partitioned_by: string | null;
  policies: string[];
  triggers: string[];
  grants: string[];
}

/**
 * Writes the schema as SQL, from the catalogue: tables with columns, constraints and indexes, each sorted by name, so
 * that a difference is a change. For people and reviews; migrations are what is run.
 */
export async function dumpSchema(db: Db): Promise<string> {
  const tables = await db.query<TableRow>(sql('schema.tables')`
    select c.oid::regclass::text as name, c.relrowsecurity as row_security, c.relforcerowsecurity as forced,
      pg_get_partkeydef(c.oid) as partitioned_by,
      array(
        select format('create policy %I on %s for %s to %s%s%s', p.polname, c.oid::regclass,
          case p.polcmd when '*' then 'all' when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' else 'delete' end,
          (select string_agg(r.rolname, ', ' order by r.rolname) from pg_roles r where r.oid = any(p.polroles)),
          ' using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
          ' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
        from pg_policy p where p.polrelid = c.oid order by p.polname
      ) as policies,
      array(
        select pg_get_triggerdef(t.oid) from pg_trigger t
        where t.tgrelid = c.oid and not t.tgisinternal and t.tgparentid = 0 order by t.tgname
      ) as triggers,
      array(
        select format('grant %s on %s to %s', string_agg(lower(g.privilege), ', ' order by g.privilege), c.oid::regclass, g.grantee)
        from (
          select r.rolname as grantee, a.privilege_type as privilege
          from aclexplode(c.relacl) a join pg_roles r on r.oid = a.grantee where a.grantee <> c.relowner
          union all
          select r.rolname, format('%s (%s)', a.privilege_type, string_agg(col.attname, ', ' order by col.attnum))
          from pg_attribute col cross join lateral aclexplode(col.attacl) a join pg_roles r on r.oid = a.grantee
          where col.attrelid = c.oid and not col.attisdropped group by 1, a.privilege_type
        ) g
        group by g.grantee order by g.grantee
      ) as grants,
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
        select replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') from pg_index i
        where i.indrelid = c.oid and not exists (select from pg_constraint x where x.conindid = i.indexrelid and x.contype in ('p', 'u'))
        order by i.indexrelid::regclass::text
      ) as indexes
    from pg_class c
    where c.relkind in ('r', 'p') and c.relnamespace in (select oid from pg_namespace where nspname in ('public', 'auth'))
      and c.relname <> 'aim_migrations'
    order by 1`);
  const functions = await db.query<{ definition: string }>(sql('schema.functions')`
    select pg_get_functiondef(p.oid) || case when p.proowner <> n.nspowner and r.rolname like 'aim%'
        then format(E';\nalter function %s owner to %I', p.oid::regprocedure, r.rolname) else '' end as definition
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_roles r on r.oid = p.proowner
    where n.nspname in ('public', 'auth', 'aim')
      and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    order by p.oid::regprocedure::text`);

  const parts = tables.map((table) =>
    [
      `create table ${table.name} (\n  ${[...table.columns, ...table.constraints].join(',\n  ')}\n)${table.partitioned_by === null ? '' : ` partition by ${table.partitioned_by}`};`,
      ...table.indexes.map((definition) => `${definition};`),
      ...(table.row_security ? [`alter table ${table.name} enable row level security;`] : []),
      ...(table.forced ? [`alter table ${table.name} force row level security;`] : []),
      ...[...table.policies, ...table.grants, ...table.triggers].map((line) => `${line};`),
    ].join('\n'),
  );
  const routines = functions.map(({ definition }) => `${definition.trim()};`);
  return `-- Written by \`npm run schema\` from a migrated Postgres 18; do not edit.\n\n${[...parts, ...routines].join('\n\n')}\n`;
}
