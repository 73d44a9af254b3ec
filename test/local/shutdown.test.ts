import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { root } from '../../local/stack/paths.ts';

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** A process that tells of each signal, and whose stop ends when it is told a line. */
async function aProcess() {
  const program = `
    import { once } from 'node:events';
    import { stopOnSignals } from './local/stack/shutdown.ts';
    stopOnSignals(async () => { await once(process.stdin, 'data'); console.log('stopped'); });
    for (const signal of ['SIGINT', 'SIGTERM']) process.prependListener(signal, () => console.log(signal));
    setInterval(() => {}, 1_000);
    console.log('ready');`;
  const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', program], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.push(child);
  const closed = once(child, 'close');
  const said: string[] = [];
  const lines: Interface = createInterface(child.stdout);
  lines.on('line', (line) => said.push(line));
  const signal = async (name: NodeJS.Signals) => {
    child.kill(name);
    await once(lines, 'line');
  };
  await once(lines, 'line');
  return { child, said, signal, closed };
}

test('a SIGTERM that comes twice, from whoever passes it on, leaves the time to stop', async () => {
  const { child, said, signal, closed } = await aProcess();

  await signal('SIGTERM');
  await signal('SIGTERM');
  child.stdin.write('go on\n');

  expect(await closed).toEqual([143, null]);
  expect(said.at(-1)).toBe('stopped');
});

test('a second Ctrl-C does not wait', async () => {
  const { said, signal, closed } = await aProcess();

  await signal('SIGINT');
  await signal('SIGINT');

  expect(await closed).toEqual([130, null]);
  expect(said).not.toContain('stopped');
});
