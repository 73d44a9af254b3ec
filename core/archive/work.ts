import type { Db } from '../db/connect.ts';
import type { Log } from '../research/queue.ts';
import { runRestore } from './restore.ts';
import { type Ran, runArchive } from './run.ts';
import type { Tell } from './step.ts';

export interface ArchiveDeps {
  db: Db;
  log: Log;
  clock: () => number;
  sleep: (ms: number) => Promise<unknown>;
}

/** Goes on with an archive or a restore that was begun, until it is done, the time is up, or nothing moves. */
export async function finish(
  deps: ArchiveDeps,
  archiveId: string,
  action: 'archive' | 'restore',
  { remainingMs, tell }: { remainingMs: () => number; tell?: Tell },
): Promise<Ran> {
  const run = action === 'archive' ? runArchive : runRestore;
  let rows = 0;
  for (;;) {
    const slice = await run(deps, archiveId, { remainingMs, tell });
    rows += slice.rows;
    if (slice.done || slice.rows === 0 || remainingMs() <= 0) return { ...slice, rows };
  }
}
