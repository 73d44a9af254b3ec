import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
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
        const held = read(file);
        const [pid, start] = held.split('\n');
        // The number alone may be another process's by now.
        if (start && startOf(Number(pid)) === start) {
          throw new Error(
            `a stack already runs on ${home} (process ${pid}); stop it with Ctrl-C, or give another folder with --data`,
          );
        }
        discard(file, held);
      }
    }
    throw new Error(`${file} cannot be locked`);
  } finally {
    rmSync(mine);
  }
}

/** @returns '' when it was given free meanwhile */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return '';
  }
}

/**
 * Deletes the lock of a run that is gone, but not that of another who has taken it over since we looked: it is moved
 * aside first, so that what is looked at is what is deleted, and put back if it is not what we saw.
 */
export function discard(file: string, seen: string): void {
  const aside = `${file}.${process.pid}.stale`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  try {
    if (readFileSync(aside, 'utf8') !== seen) linkSync(aside, file);
  } finally {
    rmSync(aside);
  }
}
