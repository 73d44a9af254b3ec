import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { root } from '../../local/stack/paths.ts';

const version = '2.41.1';
const runtime = join(root, '.runtime');

/**
 * Gets a real n8n from npm into `.runtime/`, once, without install scripts, of which one fails. Its SQLite driver
 * stays unbuilt, so that no compiler is needed: n8n runs on Postgres here.
 * @returns the path of n8n's command line program
 */
export async function installN8n(say: (line: string) => void): Promise<string> {
  const folder = join(runtime, `n8n-${version}`);
  const program = join(folder, 'node_modules', 'n8n', 'bin', 'n8n');
  if (existsSync(program)) return program;
  say(
    `Getting n8n ${version} from npm: about 700 MB to download, 2.9 GB on disk, 5 minutes, into .runtime/ …`,
  );
  // Made beside and renamed at the end: an install that was cut off is never taken for a whole one.
  const half = join(runtime, `half-made-n8n-${version}`);
  rmSync(half, { recursive: true, force: true });
  mkdirSync(half, { recursive: true });
  writeFileSync(join(half, 'package.json'), '{"private":true}');
  const install = () => npm(half, ['install', '--ignore-scripts', '--no-package-lock', `n8n@${version}`]);
  // Two thousand packages: a download that breaks off goes on where it was, from npm's cache.
  await install().catch(install);
  renameSync(half, folder);
  return program;
}

/** Runs npm in a folder, on this Node, its output kept in `npm.log` there. */
export async function npm(folder: string, args: string[]): Promise<void> {
  const cli = process.env.npm_execpath;
  const log = join(folder, 'npm.log');
  const output = createWriteStream(log, { flags: 'a' });
  const [program, first] = cli?.endsWith('npm-cli.js') ? [process.execPath, [cli]] : ['npm', []];
  const child = spawn(program, [...first, ...args], {
    cwd: folder,
    env: npmEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.pipe(output, { end: false });
  child.stderr.pipe(output, { end: false });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  output.end();
  if (code !== 0) throw new Error(`npm ${args.join(' ')} ended with ${code}; see ${log}`);
}

/** What npm tells a script about the running command is not meant for another npm. */
function npmEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^npm_(package|lifecycle|command|config_prefix|config_local_prefix)/.test(name),
  );
  return { ...Object.fromEntries(kept), PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` };
}
