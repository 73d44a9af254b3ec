import { spawn, spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { freePort } from '../../local/stack/ports.ts';
import { until } from '../../local/stack/processes.ts';

const path = `${process.env.PATH}:/usr/sbin`;

export const hasPgbouncer = spawnSync('pgbouncer', ['--version'], { env: { PATH: path } }).status === 0;

/** PgBouncer in transaction mode before the Postgres of `urls`, for the users of `urls`. */
export async function startPgbouncer(urls: string[], { poolSize }: { poolSize: number }) {
  const [first = ''] = urls;
  const folder = mkdtempSync(join(tmpdir(), 'aim-pgbouncer-'));
  const users = join(folder, 'users.txt');
  const config = join(folder, 'pgbouncer.ini');
  const log = join(folder, 'pgbouncer.log');
  const port = await freePort();
  writeFileSync(
    users,
    urls
      .map((url) => new URL(url))
      .map(({ username, password }) => `"${username}" "${decodeURIComponent(password)}"\n`)
      .join(''),
    { mode: 0o600 },
  );
  writeFileSync(
    config,
    `[databases]
* = host=127.0.0.1 port=${new URL(first).port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
pool_mode = transaction
default_pool_size = ${poolSize}
max_client_conn = 200
logfile = ${log}
`,
    { mode: 0o600 },
  );
  // It refuses to run as root.
  const runAs = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  if (runAs.uid) for (const file of [folder, users, config]) chownSync(file, runAs.uid, runAs.gid);
  // The shell holds our pipe, and ends PgBouncer when it closes, however this process ends.
  const guard = spawn(
    'sh',
    [
      '-c',
      '"$@" </dev/null & child=$!; cat >/dev/null; kill $child; wait',
      'guard',
      'pgbouncer',
      '-q',
      config,
    ],
    { ...runAs, cwd: '/', env: { PATH: path }, stdio: ['pipe', 'ignore', 'ignore'] },
  );
  const exited = new Promise((resolve) => guard.once('exit', resolve));
  const via = (url: string): string => {
    const through = new URL(url);
    through.port = String(port);
    return through.href;
  };
  const stop = async () => {
    guard.stdin.end();
    await exited;
    rmSync(folder, { recursive: true });
  };
  const answers = async () => {
    const db = connect(via(first));
    try {
      await db.query(sql('test.ping')`select 1 as one`);
      return true;
    } catch {
      return false;
    } finally {
      await db.close();
    }
  };
  if (!(await until(answers, 10_000))) {
    const said = readFileSync(log, 'utf8');
    await stop();
    throw new Error(`PgBouncer did not start:\n${said}`);
  }
  return { via, stop };
}
