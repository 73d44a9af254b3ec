import { spawn } from 'node:child_process';
import { onOrphaned } from '../local/stack/orphan.ts';

/**
 * Runs a Node program of the project with this same Node, output shown. Asked to end, we end it and then ourselves:
 * nothing is left behind, and nothing that would follow is begun.
 * @returns its exit code
 */
export function run(args: string[], env: NodeJS.ProcessEnv = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: 'inherit', env: { ...process.env, ...env } });
    let asked: number | undefined;
    const end = (code: number, signal?: NodeJS.Signals) => () => {
      asked = code;
      if (signal) child.kill(signal);
    };
    // Ctrl-C reaches the whole group, the child too.
    const listeners = { SIGINT: end(130), SIGTERM: end(143, 'SIGTERM'), SIGHUP: end(129, 'SIGTERM') };
    for (const [name, listener] of Object.entries(listeners)) process.on(name, listener);
    onOrphaned(end(1, 'SIGTERM'));
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (asked !== undefined) process.exit(asked);
      for (const [name, listener] of Object.entries(listeners)) process.off(name, listener);
      resolve(code ?? (signal ? 1 : 0));
    });
  });
}
