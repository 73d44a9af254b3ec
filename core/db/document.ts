import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Db } from './connect.ts';
import { sql } from './sql.ts';

interface TableRow {
  name: string;
  purpose: string | null;
  indexes: { name: string; definition: string }[];
  parents: string[];
}

/**
 * Describes tables and indexes in Markdown: what there is comes from the catalogue, what a table is for from its
 * comment there, and which query an index serves from the line above its `create` in the migrations.
 * @returns a diagram of the foreign keys, and a section for each table
 * @throws Error that names a table or index without a reason
 */
export async function documentSchema(db: Db, migrations: string): Promise<string> {
  const reasons = readReasons(migrations);
  const tables = await db.query<TableRow>(sql('schema.document')`
    select c.relname as name, obj_description(c.oid, 'pg_class') as purpose,
      (
        select coalesce(json_agg(json_build_object('name', x.relname, 'definition', pg_get_indexdef(x.oid)) order by x.relname), '[]')
        from pg_index i join pg_class x on x.oid = i.indexrelid
        where i.indrelid = c.oid and not exists (select from pg_constraint k where k.conindid = x.oid and k.contype in ('p', 'u'))
      ) as indexes,
      array(
        select distinct k.confrelid::regclass::text from pg_constraint k
        where k.conrelid = c.oid and k.contype = 'f' and k.conparentid = 0 order by 1
      ) as parents
    from pg_class c
    where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace and c.relname <> 'aim_migrations'
    order by c.relname`);
  const missing = tables.flatMap((table) => [
    ...(table.purpose === null ? [table.name] : []),
    ...table.indexes.map((index) => index.name).filter((name) => !reasons.has(name)),
  ]);
  if (missing.length > 0) throw new Error(`nothing says what this is for: ${missing.join(', ')}`);

  const relations = tables.flatMap((table) =>
    table.parents.map((parent) => `  ${parent.replace('.', '_')} ||--o{ ${table.name} : ""`),
  );
  const sections = tables.map((table) => {
    const rows = table.indexes.map(({ name, definition }) => {
      const what = definition.replace(/^.* USING /, '').replaceAll('|', '\\|');
      return `| \`${name}\` | \`${what}\` | ${reasons.get(name)} |`;
    });
    const list = rows.length === 0 ? [] : ['', '| index | on | serves |', '| --- | --- | --- |', ...rows];
    return [`### ${table.name}`, '', table.purpose, ...list].join('\n');
  });
  return `\`\`\`mermaid\nerDiagram\n${relations.join('\n')}\n\`\`\`\n\n${sections.join('\n\n')}\n`;
}

/** The comment lines right above each `create index`, by the index's name. */
function readReasons(folder: string): Map<string, string> {
  const created =
    /((?:^ *--.*\n)+) *create (?:unique )?index(?: concurrently)?(?: if not exists)? (?:public\.)?(\w+)/gm;
  const reasons = new Map<string, string>();
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith('.sql')) continue;
    for (const [, comment = '', name = ''] of readFileSync(join(folder, file), 'utf8').matchAll(created)) {
      const text = comment
        .replaceAll(/^ *-- ?/gm, '')
        .trim()
        .replaceAll(/\s*\n/g, ' ');
      reasons.set(name, text.replace(/^Serves /, '').replaceAll('|', '\\|'));
    }
  }
  return reasons;
}
