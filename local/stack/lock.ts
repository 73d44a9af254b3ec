import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startOf } from './processes.ts';

/**
 * One stack at a time on one data folder. A lock of a run that is gone is taken over.
 * @returns gives the folder free
 * @throws Error that names the process that holds it
 */
export function lockHome(home: string): () => void {
  mkdirSync(home, { recursive: true });
  const file = join(home, 'lock');
  const mine = `${file}.${process.pid}`;
  // Linked into place: nobody ever reads a lock that is not written yet.
  writeFileSync(mine, `${process.pid}\n${startOf(process.pid)}`);
  try {
    for (let attempt = 1; attempt <= 3; attempt++) {
      try {
        linkSync(mine, file);
        return () => rmSync(file, { force: true });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        const [pid, start] = readFileSync(file, 'utf8').split('\n');
        // The number alone may be another process's by now.
        if (start && startOf(Number(pid)) === start) {
          throw new Error(
            `a stack already runs on ${home} (process ${pid}); stop it with Ctrl-C, or give another folder with --data`,
          );
        }
        rmSync(file, { force: true });
      }
    }
    throw new Error(`${file} cannot be locked`);
  } finally {
    rmSync(mine);
  }
}
