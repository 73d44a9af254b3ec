import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type MigrationBuilder, runner } from 'node-pg-migrate';
import pg from 'pg';
import { onlineSteps, readMigration } from './online.ts';

const directory = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'migrations');

/**
 * Shorter than `deadlock_timeout` (1 s by default): of a migration and a writer that wait for each other, the migration
 * gives up first, and nobody queues behind its lock for long.
 */
const lockTimeoutMs = 500;
const patienceMs = 120_000;

/** lock_not_available and deadlock_detected: somebody was busy there; the file was rolled back and can run again. */
const busyCodes = new Set(['55P03', '40P01']);

export interface MigrateOptions {
  /** Up applies all that are missing; down takes back the last one, or `count` of them. */
  direction?: 'up' | 'down';
  count?: number;
  /** Of the numbered files; the project's own by default. */
  dir?: string;
  /** How long a file is tried again while writers hold what it needs. */
  patienceMs?: number;
}

/**
 * Applies migrations beside a live system, file by file. Safe to repeat, to run twice at once and to kill at any point:
 * an advisory lock lets one run at a time, a file and its mark commit together, and one outside a transaction can be
 * run again. A file that meets a lock gives way, and is tried again.
 * @returns the names of the files that were run
 * @throws whatever Postgres refused, and `55P03` after `patienceMs`
 */
export async function applyMigrations(databaseUrl: string, options: MigrateOptions = {}): Promise<string[]> {
  const { direction = 'up', count = direction === 'up' ? Number.POSITIVE_INFINITY : 1 } = options;
  const done: string[] = [];
  let givesUpAt = Date.now() + (options.patienceMs ?? patienceMs);
  for (let attempt = 1; done.length < count; ) {
    try {
      const name = await applyNext(databaseUrl, direction, options.dir ?? directory);
      if (name === undefined) break;
      done.push(name);
      attempt = 1;
      givesUpAt = Date.now() + (options.patienceMs ?? patienceMs);
    } catch (error) {
      if (!busyCodes.has((error as { code?: string }).code ?? '') || Date.now() > givesUpAt) throw error;
      await sleep(Math.random() * Math.min(5_000, 100 * 2 ** attempt++));
    }
  }
  return done;
}

/** @returns the name of the file, or undefined when there is none left */
async function applyNext(
  databaseUrl: string,
  direction: 'up' | 'down',
  dir: string,
): Promise<string | undefined> {
  const dbClient = new pg.Client({ connectionString: databaseUrl });
  await dbClient.connect();
  try {
    // It bounds the wait for another migrator too, whose index build waits for our snapshot.
    await dbClient.query(`set lock_timeout = ${lockTimeoutMs}`);
    const [applied] = await runner({
      dbClient,
      dir,
      direction,
      count: 1,
      singleTransaction: false,
      advisoryLockMode: 'wait',
      migrationsTable: 'aim_migrations',
      checkOrder: true,
      verbose: false,
      logger: { info: ignore, warn: ignore, error: ignore },
      ignorePattern: '(?!.*\\.sql$).*',
      migrationLoaderStrategies: [{ extensions: ['.sql'], loader: load }],
    });
    return applied?.name;
  } finally {
    await dbClient.end();
  }
}

// What went wrong is thrown; the rest is the caller's to say.
const ignore = () => undefined;

function load(filePaths: string[]) {
  return Promise.all(
    filePaths.map(async (filePath) => {
      const { up, down, isOnline } = readMigration(await readFile(filePath, 'utf8'));
      const act = (text: string) => async (pgm: MigrationBuilder) => {
        if (!isOnline) return pgm.sql(text);
        pgm.noTransaction();
        for (const step of await onlineSteps(pgm.db, text, lockTimeoutMs)) pgm.sql(step);
      };
      return { id: filePath, filePaths: [filePath], actions: { up: act(up), down: act(down) } };
    }),
  );
}
