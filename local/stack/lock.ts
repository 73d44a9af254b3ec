import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandOf, isAlive } from './processes.ts';

/**
 * One stack at a time on one data folder. A lock of a run that is gone is taken over.
 * @returns gives the folder free
 * @throws Error that names the process that holds it
 */
export function lockHome(home: string): () => void {
  mkdirSync(home, { recursive: true });
  const file = join(home, 'lock');
  for (let attempt = 1; attempt <= 3; attempt++) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      return () => rmSync(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const pid = Number(readFileSync(file, 'utf8'));
      if (pid > 0 && pid !== process.pid && isAlive(pid) && /local\/\w+\.ts|bench/.test(commandOf(pid))) {
        throw new Error(
          `a stack already runs on ${home} (process ${pid}); stop it with Ctrl-C, or give another folder with --data`,
        );
      }
      rmSync(file, { force: true });
    }
  }
  throw new Error(`${file} cannot be locked`);
}
