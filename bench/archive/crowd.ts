import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runArchive } from '../../core/archive/run.ts';
import { startArchive } from '../../core/archive/start.ts';
import { sql } from '../../core/db/sql.ts';
import { root } from '../../local/stack/paths.ts';
import { peakMemoryMb, type Row } from '../row.ts';
import { load } from './campaign.ts';
import { serverPeakMb } from './memory.ts';
import { lockWaitMs, logOf, type Stage, tidy, walOf } from './stage.ts';
import type { Users, Waits } from './users.ts';

const spanMs = 10_000;
/** Of a span: what it began with is not counted. */
const settleMs = 500;
/** `runArchive` begins nothing that less time is left for. */
const reserveMs = 5_000;

/**
 * Contacts go into the archive while 8 readers page through another campaign of the tenant and 4 writers insert into it.
 * Spans with the archiver and without alternate until it is done, so that a busy machine disturbs both.
 */
export async function crowd(stage: Stage, contacts: number): Promise<Row> {
  const { db, tenantId } = stage;
  const [campaignId = '', otherId = ''] = await load(db, tenantId, [
    { companies: contacts / 10, contactsPerCompany: 10 },
    { companies: contacts / 50, contactsPerCompany: 10 },
  ]);
  await tidy(db);
  const logged = () => readFileSync(logOf(stage.world), 'utf8');
  const logBegin = logged().length;
  const users: Users = {
    ...{ apiUrl: stage.urls.api, tenantId, campaignId: otherId },
    ...{ readers: 8, writers: 4, readerPauseMs: 20, writerPauseMs: 100 },
  };
  const child = fork(join(root, 'bench/archive/users.ts'), [JSON.stringify(users)], {
    execArgv: ['--no-warnings'],
  });
  const during = async (span: string, work: () => Promise<unknown>) => {
    await sleep(settleMs);
    child.send({ span });
    await work();
    child.send({ span: null });
  };
  try {
    await sleep(1_000);
    for (let span = 0; span < 2; span++) await during('before', () => sleep(spanMs));
    await startArchive(stage.api.forTenant(tenantId), tenantId, campaignId, { cancelOpenJobs: false });
    let rows = 0;
    let ms = 0;
    let longestMs = 0;
    stage.count.longestMs = 0;
    const { result, walBytes } = await walOf(db, () =>
      serverPeakMb({ connection: stage.worker, other: db }, async () => {
        for (let done = false; !done; ) {
          await during('with', async () => {
            const until = performance.now() + spanMs + reserveMs;
            const begun = performance.now();
            const ran = await runArchive(stage.deps, campaignId, {
              remainingMs: () => until - performance.now(),
            });
            ms += performance.now() - begun;
            rows += ran.rows;
            done = ran.done;
          });
          await during('without', () => sleep(spanMs));
        }
      }),
    );
    longestMs = stage.count.longestMs;
    child.send('end');
    const [waits] = (await once(child, 'message')) as [Waits];
    if (waits.errors.length > 0) throw new Error(`${waits.errors.length} errors: ${waits.errors[0]}`);
    await conserved(stage, campaignId, otherId, contacts, (contacts / 50) * 10 + waits.written);
    const log = logged().slice(logBegin);
    const lockWaits = (log.match(/still waiting for/g) ?? []).length;
    const deadlocks = (log.match(/deadlock detected/g) ?? []).length;
    const p = (span: string, share: number, kind: 'reads' | 'writes' = 'reads') =>
      quantile(waits.spans[span]?.[kind] ?? [], share);
    const ratio = p('with', 0.99) / p('without', 0.99);
    return {
      ...{
        name: `p99 of a page while ${rows.toLocaleString('en')} rows are archived`,
        value: p('with', 0.99),
      },
      ...{ unit: 'ms', versus: 'without archiving', ratio, target: '≤ 1.5 ×, no deadlock, no lock wait' },
      holds: ratio <= 1.5 && lockWaits === 0 && deadlocks === 0,
      counts: {
        'p99 without': round(p('without', 0.99)),
        'p99 before': round(p('before', 0.99)),
        'p50 with': round(p('with', 0.5)),
        'p50 without': round(p('without', 0.5)),
        'p99 of a write with': round(p('with', 0.99, 'writes')),
        'p99 of a write without': round(p('without', 0.99, 'writes')),
        pages: waits.spans.with?.reads.length ?? 0,
        'rows/s archived': Math.round((rows / ms) * 1000),
        deadlocks,
        [`lock waits over ${lockWaitMs} ms`]: lockWaits,
        'longest transaction ms': Math.round(longestMs),
        'WAL bytes/row, writers included': Math.round(walBytes / rows),
        'server peak MB': result.peakMb,
        'peak MB': peakMemoryMb(),
      },
    };
  } finally {
    child.kill('SIGTERM');
  }
}

/** Nothing was lost or made up while they were at it. */
async function conserved(stage: Stage, campaignId: string, otherId: string, archived: number, other: number) {
  const [counts] = await stage.db.query<{ kept: number; left: number; other: number }>(sql('bench.conserved')`
    select (select sum(row_count) from archive_chunks where archive_id = ${campaignId} and table_name = 'contacts')::bigint as kept,
      (select count(*) from contacts where campaign_id = ${campaignId}) as left,
      (select count(*) from contacts where campaign_id = ${otherId}) as other`);
  // A few companies of the maker have the same name and are one.
  const near = (count = 0, wanted = 0) => Math.abs(count - wanted) <= wanted / 500;
  if (counts?.left !== 0 || !near(counts.kept, archived) || !near(counts.other, other)) {
    throw new Error(`not conserved: ${JSON.stringify({ ...counts, archived, wanted: other })}`);
  }
}

const round = (ms: number) => Math.round(ms * 10) / 10;

function quantile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
}
