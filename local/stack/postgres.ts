import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chownSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { type Binaries, binaries, dataFolder, type PostgresVersion } from './binaries.ts';
import { freePort } from './ports.ts';
import { commandOf, isAlive, until } from './processes.ts';

export interface Postgres {
  url: string;
  /** Where its data lies: below its home, or elsewhere when its user cannot get there. */
  folder: string;
  stop(): Promise<void>;
  /** Ends it as a power cut would: what was committed is found again by the recovery of the next start. */
  crash(): Promise<void>;
  /** Stops it and removes its data, which may lie elsewhere than below its home. */
  remove(): Promise<void>;
}

const startTimeoutMs = 30_000;

/**
 * Starts Postgres on loopback with its data below `home`, made at the first run. A server that an earlier run left
 * behind on the same data is stopped first. The server ends when this process does, however it ends.
 */
export async function startPostgres({
  home,
  log,
  version = '18',
  port: wantedPort,
}: {
  home: string;
  log: string;
  version?: PostgresVersion;
  /** Any free one by default. */
  port?: number;
}): Promise<Postgres> {
  const native = await binaries(version);
  const folder = dataFolder(home, native.runAs);
  const data = join(folder, 'data');
  const note = join(home, 'postgres.elsewhere');
  if (!existsSync(data)) refuseToForget(home, note, data);
  const password = initialise(native, version, folder, data);
  if (folder === join(home, 'postgres')) rmSync(note, { force: true });
  else writeFileSync(note, folder);
  await stopStale(data);

  const port = wantedPort ?? (await freePort());
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    max_connections: '80',
    shared_buffers: '128MB',
    shared_preload_libraries: 'pg_stat_statements',
    jit: 'off',
    // The data lies in memory or on an SSD; the default, made for disks, sorts pages that an index could give.
    random_page_cost: '1.1',
    timezone: 'UTC',
  };
  const args = [
    '-D',
    data,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
  // The shell holds our pipe and stops Postgres when it closes, which it does even if we are killed. A session of its
  // own keeps Ctrl-C and a kill of our group away from it, so that Postgres always ends in order.
  const guard = spawn(
    'sh',
    [
      '-c',
      '"$@" </dev/null & child=$!; cat >/dev/null; kill -INT $child; wait $child',
      'guard',
      native.postgres,
      ...args,
    ],
    { ...native.runAs, cwd: '/', detached: true, stdio: ['pipe', openSync(log, 'a'), openSync(log, 'a')] },
  );
  const exited = once(guard, 'exit');
  // A guard that is gone has no use for what we would send it.
  guard.stdin?.on('error', () => undefined);

  const url = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`;
  const started = await until(() => answers(url) as Promise<boolean>, startTimeoutMs);
  const stop = async () => {
    guard.stdin?.end();
    await exited;
  };
  if (!started) {
    await stop();
    throw new Error(`Postgres did not start within ${startTimeoutMs / 1000} s; see ${log}`);
  }
  const crash = async () => {
    process.kill(Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0]), 'SIGQUIT');
    await stop();
  };
  const remove = async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
    rmSync(note, { force: true });
  };
  return { url, folder, stop, crash, remove };
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end();
  }
}

/** A home that had a database does not silently get an empty one. @throws Error that says where it was and what to do */
function refuseToForget(home: string, note: string, data: string): void {
  const key = join(home, 'key');
  const marks = [note, key].filter((file) => existsSync(file));
  if (marks.length === 0) return;
  const was = existsSync(note) ? readFileSync(note, 'utf8') : join(home, 'postgres');
  throw new Error(
    `the database of ${home} is not in ${data}. It was in ${was}, unless it was moved: put it back, run as the user that made it, or delete ${marks.join(' and ')} to begin with an empty one`,
  );
}

/** Made beside its final place and renamed when complete, so a half-made folder is never taken for a database. */
function initialise(native: Binaries, version: PostgresVersion, folder: string, data: string): string {
  const passwordFile = join(folder, 'password');
  if (existsSync(data)) {
    const found = existsSync(join(data, 'PG_VERSION'))
      ? readFileSync(join(data, 'PG_VERSION'), 'utf8').trim()
      : 'none';
    if (found !== version) {
      throw new Error(
        `${data} holds a database of Postgres ${found}, not ${version}; move the folder away, or give another with --data`,
      );
    }
    return readFileSync(passwordFile, 'utf8').trim();
  }
  for (const name of readdirSync(folder)) {
    if (name.startsWith('half-made-')) rmSync(join(folder, name), { recursive: true });
  }
  const password = randomBytes(18).toString('base64url');
  writeFileSync(passwordFile, password, { mode: 0o600 });
  const half = join(folder, `half-made-${process.pid}`);
  mkdirSync(half, { mode: 0o700 });
  const given = join(half, '..', `half-made-password-${process.pid}`);
  writeFileSync(given, password, { mode: 0o600 });
  const { uid, gid } = native.runAs;
  if (uid !== undefined && gid !== undefined) for (const path of [half, given]) chownSync(path, uid, gid);
  const made = spawnSync(
    native.initdb,
    ['-D', half, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${given}`, '-E', 'UTF8', '--locale=C'],
    { ...native.runAs, cwd: '/', encoding: 'utf8' },
  );
  rmSync(given);
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr || made.error?.message}`);
  renameSync(half, data);
  return password;
}

async function stopStale(data: string): Promise<void> {
  const file = join(data, 'postmaster.pid');
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, 'utf8').split('\n')[0]);
  // The number may be another process's by now: only a server on this very folder is ours.
  const isOurs = () => isAlive(pid) && commandOf(pid).includes(data);
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    if (!isOurs()) return;
    process.kill(pid, signal);
    await until(() => !isOurs(), 10_000);
  }
  if (isOurs())
    throw new Error(`a Postgres of an earlier run does not stop (process ${pid}); end it and start again`);
}
