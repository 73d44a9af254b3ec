import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { binaries, copyWhole, dataFolder } from '../../local/stack/binaries.ts';
import { discard, lockHome } from '../../local/stack/lock.ts';
import { root } from '../../local/stack/paths.ts';
import { isAlive, startOf, until } from '../../local/stack/processes.ts';

const homes: string[] = [];
const children: ChildProcess[] = [];

afterAll(async () => {
  for (const child of children.filter(
    ({ exitCode, signalCode }) => exitCode === null && signalCode === null,
  )) {
    const exited = once(child, 'exit');
    child.stdin?.end();
    await exited;
  }
  for (const home of homes) rmSync(home, { recursive: true, force: true });
});

function aHome(): string {
  const home = mkdtempSync(join(tmpdir(), 'aim-postgres-'));
  homes.push(home);
  return home;
}

/** Where Postgres keeps its data for this home: elsewhere when its user cannot reach it. */
async function folderOf(home: string): Promise<string> {
  const folder = dataFolder(home, (await binaries('18')).runAs);
  if (!homes.includes(folder) && !folder.startsWith(home)) homes.push(folder);
  return folder;
}

/** Starts Postgres and the queue in a process of their own. @returns its first line, or what it said instead */
async function start(home: string) {
  const child = spawn(process.execPath, ['local/stack/services.ts', '--home', home], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  children.push(child);
  let complaint = '';
  child.stderr.on('data', (text) => {
    complaint += String(text);
  });
  const [line] = (await Promise.race([
    once(createInterface(child.stdout), 'line'),
    once(child, 'close').then(() => ['']),
  ])) as string[];
  const databaseUrl = line ? (JSON.parse(line) as { databaseUrl: string }).databaseUrl : '';
  return { child, databaseUrl, complaint: () => complaint };
}

async function ask(databaseUrl: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const { rows } = await client.query(text).finally(() => client.end());
  return rows;
}

test('Postgres ends when its owner is killed, and the next run has its data', async () => {
  const home = aHome();
  const first = await start(home);
  await ask(first.databaseUrl, 'create table kept as select 42 as answer');
  const pidFile = join(await folderOf(home), 'data', 'postmaster.pid');
  const pid = Number(readFileSync(pidFile, 'utf8').split('\n')[0]);

  first.child.kill('SIGKILL');

  expect(await until(() => !isAlive(pid), 10_000)).toBe(true);
  const second = await start(home);
  expect(await ask(second.databaseUrl, 'select answer from kept')).toEqual([{ answer: 42 }]);
});

test('a server that was left behind is stopped, and its data taken over', async () => {
  const home = aHome();
  const first = await start(home);
  await ask(first.databaseUrl, 'create table kept as select 43 as answer');
  const pid = Number(
    readFileSync(join(await folderOf(home), 'data', 'postmaster.pid'), 'utf8').split('\n')[0],
  );

  const second = await start(home);

  expect(isAlive(pid)).toBe(false);
  expect(await ask(second.databaseUrl, 'select answer from kept')).toEqual([{ answer: 43 }]);
});

test('a data folder that an interrupted first start left half-made is made again', async () => {
  const home = aHome();
  const folder = await folderOf(home);
  mkdirSync(join(folder, 'half-made-1'), { recursive: true });
  writeFileSync(join(folder, 'half-made-1', 'PG_VERSION'), '18');
  writeFileSync(join(folder, 'password'), 'of the interrupted start');

  const { databaseUrl } = await start(home);

  expect(await ask(databaseUrl, 'select 1 as one')).toEqual([{ one: 1 }]);
  expect(readdirSync(folder).filter((name) => name.startsWith('half-made'))).toEqual([]);
});

test.each([
  ['another version', 'PG_VERSION', '15\n', 'holds a database of Postgres 15, not 18'],
  ['something else', 'notes.txt', 'mine', 'holds a database of Postgres none, not 18'],
])('a data folder with %s is left alone', async (_, name, content, reason) => {
  const home = aHome();
  const file = join(await folderOf(home), 'data', name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);

  const { databaseUrl, complaint } = await start(home);

  expect(databaseUrl).toBe('');
  expect(complaint()).toContain(reason);
  expect(readFileSync(file, 'utf8')).toBe(content);
});

test.each([
  ['what the home notes of a place elsewhere', 'postgres.elsewhere', '/tmp/emptied/by/a/reboot'],
  ['the key of its tenant', 'key', 'afl_of-the-lost-database'],
])('a home whose database is gone is not given an empty one: it has %s', async (_, name, content) => {
  const home = aHome();
  const data = join(await folderOf(home), 'data');
  writeFileSync(join(home, name), content);

  const { databaseUrl, complaint } = await start(home);

  expect(databaseUrl).toBe('');
  expect(complaint()).toContain(`the database of ${home} is not in ${data}`);
  expect(complaint()).toContain(join(home, name));
  expect(existsSync(data)).toBe(false);
});

test('a home notes where its database lies when that is elsewhere', async () => {
  const home = aHome();
  const folder = await folderOf(home);
  const note = join(home, 'postgres.elsewhere');
  const isBelow = folder === join(home, 'postgres');

  await start(home);

  expect(existsSync(note) ? readFileSync(note, 'utf8') : 'below').toBe(isBelow ? 'below' : folder);
});

test('a copy of the binaries that lost files is made again, and a whole one is left alone', () => {
  const from = aHome();
  const to = join(aHome(), 'copy');
  mkdirSync(join(from, 'bin'));
  for (const name of ['postgres', 'initdb']) writeFileSync(join(from, 'bin', name), name);

  copyWhole(from, to);
  rmSync(join(to, 'bin', 'initdb'));
  copyWhole(from, to);
  expect(readFileSync(join(to, 'bin', 'initdb'), 'utf8')).toBe('initdb');

  const made = statSync(to).ino;
  copyWhole(from, to);
  expect(statSync(to).ino).toBe(made);
});

test('a second stack on the same folder is refused by the number of the first; a lock of the dead is not', async () => {
  const home = aHome();
  const release = lockHome(home);
  expect(() => lockHome(home)).toThrow(`process ${process.pid}`);
  release();

  const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  await once(other, 'spawn');
  writeFileSync(join(home, 'lock'), `${other.pid}\n${startOf(other.pid ?? 0)}`);
  expect(() => lockHome(home)).toThrow(`process ${other.pid}`);
  writeFileSync(join(home, 'lock'), `${other.pid}\nan earlier process of this number`);
  lockHome(home)();
  other.kill();
  await once(other, 'exit');
  writeFileSync(join(home, 'lock'), `${other.pid}\n1`);
  lockHome(home)();

  expect(existsSync(join(home, 'lock'))).toBe(false);
});

test('a lock that another took over since we looked is left to him', () => {
  const home = aHome();
  const file = join(home, 'lock');
  lockHome(home);
  const his = readFileSync(file, 'utf8');

  discard(file, `${process.pid}\n1`);

  expect(readFileSync(file, 'utf8')).toBe(his);
  expect(() => lockHome(home)).toThrow(`process ${process.pid}`);
  expect(readdirSync(home)).toEqual(['lock']);
});
