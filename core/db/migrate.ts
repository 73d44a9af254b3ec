import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type MigrationBuilder, PG_MIGRATE_LOCK_ID, runner } from 'node-pg-migrate';
import pg from 'pg';
import { isLockTrouble } from './locks.ts';
import { onlineSteps, readMigration } from './online.ts';

/**
 * Shorter than `deadlock_timeout` (1 s by default): of a migration and a writer that wait for each other, the migration
 * gives up first, and nobody queues behind its lock for long.
 */
const lockTimeoutMs = 500;
const patienceMs = 120_000;
const turnMs = 200;

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
 * run again. A file that meets a lock gives way, and is tried again. Needs a connection without a pooler between.
 * @returns the names of the files that were run
 * @throws whatever Postgres refused, and `55P03` after `patienceMs`
 */
export async function applyMigrations(databaseUrl: string, options: MigrateOptions = {}): Promise<string[]> {
  const { direction = 'up', count = direction === 'up' ? Number.POSITIVE_INFINITY : 1 } = options;
  const dir = options.dir ?? projectMigrations();
  const done: string[] = [];
  while (done.length < count) {
    const name = await patiently(databaseUrl, options.patienceMs ?? patienceMs, (client) =>
      applyNext(client, direction, dir),
    );
    if (name === undefined) break;
    done.push(name);
  }
  return done;
}

/** The project's own: above this file, or above the bundle that it became part of, and never by where it is run. */
function projectMigrations(): string {
  const start = dirname(typeof __filename === 'string' ? __filename : fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = dirname(folder)) {
    const found = join(folder, 'migrations');
    if (existsSync(join(found, '0001_tenants.sql'))) return found;
    if (folder === dirname(folder)) throw new Error(`no migrations/ above ${start}; say where, with \`dir\``);
  }
}

/** Does `work` on a session of its own, in turn with other migrators, and again while somebody else is busy there. */
async function patiently<T>(databaseUrl: string, patience: number, work: (client: pg.Client) => Promise<T>) {
  let givesUpAt: number | undefined;
  for (let attempt = 1; ; attempt++) {
    const client = new pg.Client({ connectionString: databaseUrl, application_name: 'aim-migrate' });
    // A session that is lost shows in its next statement.
    client.on('error', ignore);
    try {
      await client.connect();
      await takeTurn(client);
      // Another migrator may take its hours; only waiting for writers has an end.
      givesUpAt ??= Date.now() + patience;
      // Roles and databases may bound a statement (Supabase does), but an index takes as long as its table is long.
      await client.query(`set statement_timeout = 0; set lock_timeout = ${lockTimeoutMs}`);
      return await work(client);
    } catch (error) {
      // Somebody was busy there; the file was rolled back and can run again.
      if (!isLockTrouble(error) || givesUpAt === undefined || Date.now() > givesUpAt) throw error;
    } finally {
      await client.end();
    }
    await sleep(Math.random() * Math.min(5_000, 100 * 2 ** attempt));
  }
}

/** Asks rather than waits: an index build of the other one would wait in turn for the snapshot of our question. */
async function takeTurn(client: pg.Client): Promise<void> {
  for (;;) {
    const { rows } = await client.query<{ ours: boolean }>('select pg_try_advisory_lock($1) as ours', [
      PG_MIGRATE_LOCK_ID,
    ]);
    if (rows[0]?.ours) return;
    await sleep(turnMs);
  }
}

/** @returns the name of the file, or undefined when there is none left */
async function applyNext(dbClient: pg.Client, direction: 'up' | 'down', dir: string) {
  const [applied] = await runner({
    dbClient,
    dir,
    direction,
    count: 1,
    singleTransaction: false,
    // The session has it already.
    noLock: true,
    migrationsTable: 'aim_migrations',
    checkOrder: true,
    verbose: false,
    logger: { info: ignore, warn: ignore, error: ignore },
    ignorePattern: '(?!.*\\.sql$).*',
    migrationLoaderStrategies: [{ extensions: ['.sql'], loader: load }],
  });
  return applied?.name;
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
