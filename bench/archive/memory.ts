import { readFileSync } from 'node:fs';
import type { Connection, Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';

/** Memory of its own that the server process behind a connection had at most, while `work` ran. */
export async function serverPeakMb<Result>(
  { connection, other, limitMb }: { connection: Db; other: Connection | Db; limitMb?: number },
  work: () => Promise<Result>,
): Promise<{ result: Result; peakMb: number }> {
  const [backend] = await connection.query<{ pid: number }>(
    sql('bench.backend')`select pg_backend_pid() as pid`,
  );
  const pid = backend?.pid ?? 0;
  let peakMb = 0;
  const watch = setInterval(() => {
    peakMb = Math.max(peakMb, ownMb(pid));
    // The machine is others' too.
    if (limitMb !== undefined && peakMb > limitMb)
      void other.query(sql('bench.cancel')`select pg_cancel_backend(${pid})`);
  }, 20);
  try {
    const result = await work();
    return { result, peakMb };
  } finally {
    clearInterval(watch);
  }
}

function ownMb(pid: number): number {
  try {
    const found = /^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return Math.round(Number(found?.[1] ?? 0) / 1024);
  } catch {
    // Gone, or a system without /proc: nothing is known.
    return 0;
  }
}
