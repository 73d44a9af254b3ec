import { spawn } from 'node:child_process';
import { onOrphaned } from '../local/stack/orphan.ts';

/** Runs a Node program of the project with this same Node, output shown. @returns its exit code */
export function run(args: string[], env: NodeJS.ProcessEnv = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: 'inherit', env: { ...process.env, ...env } });
    onOrphaned(() => child.kill('SIGTERM'));
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? (signal ? 1 : 0)));
  });
}
