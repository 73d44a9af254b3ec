/** A migration file: what it does, its way back, and whether it runs outside a transaction. */
export interface MigrationFile {
  up: string;
  down: string;
  isOnline: boolean;
}

/** @throws Error when a part is missing: a way back may be empty, with a line that says why, but is never forgotten */
export function readMigration(text: string): MigrationFile {
  const [head = '', up, ...rest] = text.split(/^-- (?:Up|Down) Migration$/m);
  const [down] = rest;
  if (up === undefined || down === undefined || rest.length > 1) {
    throw new Error('a migration has one part below "-- Up Migration", then one below "-- Down Migration"');
  }
  return { up, down, isOnline: /^-- No Transaction$/m.test(head) };
}

/** What the index builds of a file need of a database. */
interface Catalogue {
  select(statement: { text: string; values: unknown[] }): Promise<unknown[]>;
}

/**
 * Splits the part of a file that runs outside a transaction: one statement ends with `;` at the end of a line.
 * Concurrent builds and validations wait for other transactions without holding anybody up, so they may wait as long as
 * they need; the others give way as everywhere, and the file runs again, so each must bear to be repeated. An index that
 * an interrupted build left behind is not valid, but in the way: it goes first.
 */
export async function onlineSteps(db: Catalogue, text: string, lockTimeoutMs: number): Promise<string[]> {
  const statements = text
    .replaceAll(/^\s*--.*$/gm, '')
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
  const built = statements.flatMap(
    (statement) =>
      /^create (?:unique )?index concurrently (?:if not exists )?(\w+)/i.exec(statement)?.[1] ?? [],
  );
  const broken = (await db.select({
    text: `select indexrelid::regclass::text as name from pg_index join pg_class on pg_class.oid = indexrelid
      where not indisvalid and relname = any($1) and pg_table_is_visible(indexrelid)`,
    values: [built],
  })) as { name: string }[];
  const steps = [...broken.map(({ name }) => `drop index concurrently ${name}`), ...statements];
  return steps.flatMap((step) => [
    `set lock_timeout = ${/^(create|drop|alter)\b.* (concurrently|validate) /is.test(step) ? 0 : lockTimeoutMs};`,
    `${step};`,
  ]);
}
