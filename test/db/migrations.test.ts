import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import pg from 'pg';
import { connect } from '../../core/db/connect.ts';
import { dumpSchema } from '../../core/db/dump.ts';
import { applyMigrations } from '../../core/db/migrate.ts';
import { readMigration } from '../../core/db/online.ts';
import { root } from '../../local/stack/paths.ts';
import { until } from '../../local/stack/processes.ts';

const table = 'create table things (id int primary key, name text)';
const files = {
  '0001_things.sql': `-- Up Migration\n${table};\n-- Down Migration\ndrop table things;\n`,
  '0002_index.sql': [
    '-- No Transaction',
    '-- Up Migration',
    'create index concurrently if not exists things_name',
    '  on things (name);',
    '-- Of two statements.',
    'create index concurrently if not exists things_both on things (id, name);',
    '-- Down Migration',
    'drop index concurrently if exists things_both;',
    'drop index concurrently if exists things_name;',
  ].join('\n'),
  '0003_column.sql':
    '-- Up Migration\nalter table things add column kind text;\n-- Down Migration\nalter table things drop column kind;\n',
};

let admin: pg.Client;
let dir: string;
let url: string;
let name: string;
const clients: pg.Client[] = [];

beforeAll(async () => {
  admin = await aClient(process.env.TEST_DATABASE_URL ?? '');
  dir = mkdtempSync(join(tmpdir(), 'aim-migrations-'));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(dir, file), text);
});
afterAll(async () => {
  await admin.end();
  rmSync(dir, { recursive: true });
});

beforeEach(async () => {
  name = `test_${randomUUID().replaceAll('-', '')}`;
  await admin.query(`create database ${name}`);
  const of = new URL(process.env.TEST_DATABASE_URL ?? '');
  of.pathname = `/${name}`;
  url = of.href;
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.end();
  await admin.query(`drop database ${name} with (force)`);
});

async function aClient(to: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: to });
  await client.connect();
  return client;
}

async function aPerson(): Promise<pg.Client> {
  const client = await aClient(url);
  clients.push(client);
  return client;
}

/** @returns a client with a row written and not committed */
async function aSlowWriter(id: number): Promise<pg.Client> {
  const slow = await aPerson();
  await slow.query('begin');
  await slow.query(`insert into things (id, name) values (${id}, 'slow')`);
  return slow;
}

/** Resolves once as many of the migrator's sessions are as described. */
async function migrators(count: number, where = 'true'): Promise<void> {
  const are = await until(async () => {
    const { rows } = await admin.query(
      `select 1 from pg_stat_activity where datname = $1 and application_name = 'aim-migrate' and ${where}`,
      [name],
    );
    return rows.length === count;
  }, 10_000);
  expect(are).toBe(true);
}

const endMigrators = () =>
  admin.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and application_name = 'aim-migrate'`,
    [name],
  );

async function indexes(): Promise<unknown> {
  const { rows } = await (await aPerson()).query<{ name: string }>(
    `select indexrelid::regclass || case when indisvalid then '' else ' invalid' end as name
      from pg_index where indrelid = 'things'::regclass and not indisprimary order by 1`,
  );
  return rows.map((row) => row.name);
}

const waits = `wait_event_type = 'Lock'`;
const longerThanTheLockTimeout = () => new Promise((resolve) => setTimeout(resolve, 700));

test('an index is built while people write, and waits for a slow one longer than any timeout of the database', async () => {
  await admin.query(`alter database ${name} set statement_timeout = '300ms'`);
  await applyMigrations(url, { dir, count: 1 });
  const slow = await aSlowWriter(1);
  const migrating = applyMigrations(url, { dir, count: 1, patienceMs: 0 });
  await migrators(1, waits);

  await (await aPerson()).query(`insert into things (id, name) values (2, 'quick')`);
  await longerThanTheLockTimeout();
  await migrators(1, waits);
  await slow.query('commit');

  expect(await migrating).toEqual(['0002_index']);
  expect(await indexes()).toEqual(['things_both', 'things_name']);
  expect(await applyMigrations(url, { dir, direction: 'down' })).toEqual(['0002_index']);
  expect(await indexes()).toEqual([]);
});

test('an index that an interrupted build left invalid is built again', async () => {
  await applyMigrations(url, { dir, count: 1 });
  const slow = await aSlowWriter(1);
  const interrupted = applyMigrations(url, { dir, count: 1 }).catch((error: { code?: string }) => error.code);
  await migrators(1, waits);
  await endMigrators();
  expect(await interrupted).toBe('57P01');
  await slow.query('commit');
  expect(await indexes()).toEqual(['things_name invalid']);

  expect(await applyMigrations(url, { dir, count: 1 })).toEqual(['0002_index']);

  expect(await indexes()).toEqual(['things_both', 'things_name']);
});

test('a change of a table gives way to a slow writer, so that nobody queues behind it, and comes later', async () => {
  await applyMigrations(url, { dir, count: 2 });
  const slow = await aSlowWriter(1);
  const migrating = applyMigrations(url, { dir });
  await migrators(1, waits);

  // Would wait until the slow one commits, which it does only afterwards.
  await (await aPerson()).query(`insert into things (id, name) values (2, 'quick')`);
  await slow.query('commit');

  expect(await migrating).toEqual(['0003_column']);
});

test('patience has an end, and nothing is left half-done', async () => {
  await applyMigrations(url, { dir, count: 2 });
  const slow = await aSlowWriter(1);

  await expect(applyMigrations(url, { dir, patienceMs: 0 })).rejects.toMatchObject({ code: '55P03' });

  await slow.query('commit');
  expect(await applyMigrations(url, { dir })).toEqual(['0003_column']);
});

test('of two at once, one waits however long the other builds, and nothing is done twice', async () => {
  await applyMigrations(url, { dir, count: 1 });
  const slow = await aSlowWriter(1);
  const first = applyMigrations(url, { dir });
  await migrators(1, waits);
  const second = applyMigrations(url, { dir, patienceMs: 0 });
  await migrators(2);
  await longerThanTheLockTimeout();
  await slow.query('commit');

  const done = [...(await first), ...(await second)];

  expect(done.toSorted()).toEqual(['0002_index', '0003_column']);
});

/** @returns whether it came to its end before it was killed */
async function migrateAndKill(direction: 'up' | 'down', afterMs: number): Promise<boolean> {
  const killer = setTimeout(() => void endMigrators(), afterMs);
  try {
    await applyMigrations(url, { direction, count: 99 });
    return true;
  } catch (error) {
    // 57P01 is the kill; a session that goes between two statements leaves no code.
    const { code } = error as { code?: string };
    if (code !== undefined && code !== '57P01') throw error;
    return false;
  } finally {
    clearTimeout(killer);
  }
}

test('killed at any point and run again, the project’s migrations come to the same end, up and down', async () => {
  await applyMigrations(url);
  const owner = await aPerson();
  const whole = await schema();
  for (let kills = 0; kills < 20; ) {
    while (!(await migrateAndKill('down', Math.random() * 100))) kills++;
    expect((await owner.query('select name from aim_migrations')).rows).toEqual([]);
    while (!(await migrateAndKill('up', Math.random() * 100))) kills++;
    expect(await schema()).toBe(whole);
    expect((await owner.query('select 1 from pg_index where not indisvalid')).rows).toEqual([]);
  }
}, 120_000);

async function schema(): Promise<string> {
  const owner = connect(url, { max: 1 });
  return dumpSchema(owner).finally(() => owner.close());
}

test('the process of a migrator is killed: its session goes on to the end, and the next one takes over', async () => {
  const start = () =>
    spawn(process.execPath, [join(root, 'scripts', 'migrate.ts'), 'up'], {
      cwd: tmpdir(),
      env: { ...process.env, DATABASE_URL: url },
      stdio: 'ignore',
    });
  const first = start();
  const killed = once(first, 'exit');
  await migrators(1);
  first.kill('SIGKILL');
  await killed;

  const second = start();

  expect(await once(second, 'exit')).toEqual([0, null]);
  expect(await applyMigrations(url)).toEqual([]);
});

test('a bundle finds the migrations above it, wherever it is run', async () => {
  const folder = join(root, 'dist', 'test-bundle');
  mkdirSync(folder, { recursive: true });
  const bundle = join(folder, 'migrate.cjs');
  await build({
    stdin: {
      contents: `import { applyMigrations } from './core/db/migrate.ts';
        applyMigrations(process.env.DATABASE_URL, { count: 2 }).then((names) => console.log(names.join()))`,
      resolveDir: root,
    },
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    external: ['pg-native'],
    logLevel: 'silent',
  });

  const { stdout, stderr } = spawnSync(process.execPath, [bundle], {
    cwd: tmpdir(),
    env: { ...process.env, DATABASE_URL: url },
    encoding: 'utf8',
  });

  expect([stdout.trim(), stderr]).toEqual(['0001_tenants,0002_leads', '']);
  rmSync(folder, { recursive: true });
});

test.each([
  ['no way back', '-- Up Migration\nselect 1;\n'],
  ['no way forth', 'select 1;\n-- Down Migration\nselect 1;\n'],
  ['two ways back', '-- Up Migration\n-- Down Migration\n-- Down Migration\n'],
])('a file with %s is refused', (_, text) => {
  expect(() => readMigration(text)).toThrow('one part below "-- Up Migration"');
});
