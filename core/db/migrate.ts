import { join } from 'node:path';
import { runner } from 'node-pg-migrate';

const directory = join(process.cwd(), 'migrations');

/**
 * Applies migrations up (all) or down (`count` of them). Safe to repeat and to run twice at once: the migrator holds
 * an advisory lock, and applied files are skipped.
 */
export async function applyMigrations(
  databaseUrl: string,
  options: { direction?: 'up' | 'down'; count?: number; dir?: string } = {},
): Promise<string[]> {
  const applied = await runner({
    databaseUrl,
    dir: options.dir ?? directory,
    direction: options.direction ?? 'up',
    ...(options.count === undefined ? {} : { count: options.count }),
    migrationsTable: 'aim_migrations',
    checkOrder: true,
    verbose: false,
    log: () => undefined,
    ignorePattern: '(?!.*\\.sql$).*',
  });
  return applied.map((migration) => migration.name);
}
