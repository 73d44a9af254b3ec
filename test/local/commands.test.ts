import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from '../../local/stack/paths.ts';
import { isAlive } from '../../local/stack/processes.ts';

const folder = mkdtempSync(join(tmpdir(), 'aim-commands-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function command(...args: string[]) {
  const child = spawn(process.execPath, ['--no-warnings', ...args], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' },
  });
  const [[code], complaint] = await Promise.all([once(child, 'close'), child.stderr.toArray()]);
  return { code: code as number, complaint: Buffer.concat(complaint).toString() };
}

test.each([
  ['a misspelt flag', 'local/start.ts', ['--prot', '80'], "Unknown option '--prot'"],
  ['a flag without its value', 'local/start.ts', ['--port'], "Option '--port <value>' argument missing"],
  ['a value whose flag npm has taken', 'local/start.ts', ['9123'], "Unexpected argument '9123'"],
  ['a port that is none', 'local/start.ts', ['--port', '0'], '--port 0: give a number'],
  ['a misspelt flag of the demo', 'local/demo.ts', ['--cvs', 'x'], "Unknown option '--cvs'"],
  ['minutes that are no number', 'scripts/chaos.ts', ['--minutes', 'abc'], '--minutes abc: give a number'],
])('%s is refused with how the command is called', async (_, file, args, said) => {
  const { code, complaint } = await command(file, ...args);

  expect(code).toBe(2);
  expect(complaint.split('\n')).toEqual([
    expect.stringContaining(said),
    expect.stringMatching(/^usage: npm .*-- --/),
    expect.stringMatching(/^Write -- before the flags/),
    '',
  ]);
});

test.each([['all'], ['0'], ['1.5'], ['-1']])('migrations are not counted by %s', async (count) => {
  const { code, complaint } = await command('scripts/migrate.ts', 'up', count);

  expect([code, complaint]).toEqual([2, expect.stringContaining('up|down [COUNT]')]);
});

test.each([
  ['a list that is not there', 'none.csv', undefined, 'does not exist'],
  ['a folder for a list', 'lists', undefined, 'is not a file'],
  ['a list without companies', 'bad.csv', 'colour\nred\n', 'row 1'],
  ['a list that breaks off later', 'open.csv', 'name\nAcme\n"Open', 'row 3: a quotation mark opens here'],
])('the demo refuses %s before it starts anything', async (_, name, content, said) => {
  const file = join(folder, name);
  if (name === 'lists') mkdirSync(file);
  if (content !== undefined) writeFileSync(file, content);
  const home = join(folder, 'home');

  const { code, complaint } = await command('local/demo.ts', '--csv', file, '--data', home);

  expect([code, complaint]).toEqual([1, expect.stringContaining(said)]);
  expect(complaint).toContain(file);
  expect(() => rmSync(home, { recursive: true })).toThrow('no such file');
});

test('a command that is asked to end ends what it runs, and begins nothing further', async () => {
  const program = `
    import { run } from './scripts/run.ts';
    await run(['-e', 'console.log(process.pid); setInterval(() => {}, 1_000)']);
    await run(['-e', 'console.log("further")']);`;
  const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', program], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said: string[] = [];
  const lines = createInterface(child.stdout).on('line', (line) => said.push(line));
  await once(lines, 'line');

  child.kill('SIGTERM');

  expect(await once(child, 'close')).toEqual([143, null]);
  expect(said).toHaveLength(1);
  expect(isAlive(Number(said[0]))).toBe(false);
});
