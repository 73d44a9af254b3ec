import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from '../../local/stack/paths.ts';
import { startOf } from '../../local/stack/processes.ts';

let project: string;
const children: ChildProcess[] = [];
beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'aim-boot-'));
  const node = join(project, '.runtime', 'node-24.21.0', 'node_modules', 'node', 'bin', 'node');
  for (const folder of [dirname(node), join(project, 'local'), join(project, 'node_modules')])
    mkdirSync(folder, { recursive: true });
  cpSync(join(root, 'boot.mjs'), join(project, 'boot.mjs'));
  symlinkSync(process.execPath, node);
  writeFileSync(join(project, 'package-lock.json'), '{}');
  writeFileSync(join(project, 'node_modules', '.lock-hash'), createHash('sha256').update('{}').digest('hex'));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(project, { recursive: true });
});

const lock = () => join(project, '.runtime', 'installing.lock');
const locks = () => readdirSync(join(project, '.runtime')).filter((name) => !name.startsWith('node-'));

/** Runs `node boot.mjs demo` in a project in which all is installed. */
function boot(program = `console.log('ran')`) {
  writeFileSync(join(project, 'local', 'demo.ts'), program);
  // Through a shell, as npm does it.
  const child = spawn('sh', ['-c', '"$0" boot.mjs demo; exit $?', process.execPath], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH },
  });
  children.push(child);
  const said: string[] = [];
  const lines = createInterface(child.stdout).on('line', (line) => said.push(line));
  return { child, said, line: () => once(lines, 'line'), closed: once(child, 'close') };
}

test.each([
  ['is gone', '999999999\n1'],
  ['is gone, and whose number another process has by now', `${process.pid}\n1`],
])('the lock of a command that %s while it installed holds nobody up', async (_, content) => {
  writeFileSync(lock(), content);

  const { said, closed } = boot();

  expect(await closed).toEqual([0, null]);
  expect(said).toEqual(['ran']);
  expect(locks()).toEqual([]);
});

test('a second command waits for one that installs, and names its process and the lock', async () => {
  writeFileSync(lock(), `${process.pid}\n${startOf(process.pid)}`);

  const { said, line, closed } = boot();
  await line();
  expect(said).toEqual([
    `Another command (process ${process.pid}) is installing; waiting for it: ${lock()} …`,
  ]);
  rmSync(lock());

  expect(await closed).toEqual([0, null]);
  expect(said.at(-1)).toBe('ran');
});

test('a command whose starter is killed is asked to end once, however long it takes', async () => {
  const { child, said, line, closed } = boot(`
    process.on('SIGTERM', () => console.log('asked'));
    process.once('SIGTERM', () => setTimeout(() => process.exit(), 1_500));
    setInterval(() => {}, 1_000);
    console.log('ready');`);
  await line();

  child.kill('SIGKILL');
  // Its output ends with the command, not with the shell.
  await closed;

  expect(said).toEqual(['ready', 'asked']);
});
