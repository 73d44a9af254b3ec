import { load, ofRows, tables } from './archive/campaign.ts';
import { archive as archiveOne, bare, type Measured, makeCopies, restore } from './archive/move.ts';
import { aStage, type Stage, sizeOf, tidy } from './archive/stage.ts';
import { median, peakMemoryMb, type Row } from './row.ts';

/** BENCH_SCALE=0.1 for a look; the targets are those of the whole. */
const scale = Number(process.env.BENCH_SCALE ?? 1);
const middle = 100_000 * scale;

/** Archives: how fast rows go into them and back, how much room they take, and what else goes on meanwhile. */
export async function* archive(): AsyncGenerator<Row> {
  const stage = await aStage();
  try {
    await makeCopies(stage.db);
    yield await size(stage);
    yield* speed(stage);
  } finally {
    await stage.close();
  }
}

const n = (count: number) => count.toLocaleString('en');
const mb = (bytes: number) => Math.round(bytes / 1e5) / 10;

/** In an empty database, so that all there is belongs to the campaign. */
async function size(stage: Stage): Promise<Row> {
  const [campaignId = ''] = await load(stage.db, stage.tenantId, [ofRows(middle)]);
  const active = await sizeOf(stage.db, tables);
  const { rows } = await archiveOne(stage, campaignId);
  await tidy(stage.db);
  const kept = ['archive_chunks', 'archive_lookup', 'archived_campaigns'];
  const archived = await sizeOf(stage.db, kept);
  const ratio = archived / active;
  return {
    ...{ name: `an archive of ${n(rows)} rows on disk`, value: archived / rows, unit: 'bytes/row' },
    ...{ versus: 'the active rows with their indexes', ratio, target: '≤ 0.2 ×', holds: ratio <= 0.2 },
    counts: {
      'active MB': mb(active),
      'archive MB': mb(archived),
      'of it its search index MB': mb(await sizeOf(stage.db, ['archive_lookup'])),
      'active bytes/row': Math.round(active / rows),
    },
  };
}

const rounds = 3;

async function* speed(stage: Stage): AsyncGenerator<Row> {
  const { db, tenantId } = stage;
  const ids = await load(
    db,
    tenantId,
    Array.from({ length: 2 * rounds }, () => ofRows(middle)),
  );
  const ours: Measured[] = [];
  const theirs: Measured[] = [];
  const back: Measured[] = [];
  for (let round = 0; round < rounds; round++) {
    await tidy(db);
    ours.push(await archiveOne(stage, ids[2 * round] ?? ''));
    await tidy(db);
    theirs.push(await bare(stage, ids[2 * round + 1] ?? ''));
  }
  for (let round = 0; round < rounds; round++) {
    await tidy(db);
    back.push(await restore(stage, ids[2 * round] ?? ''));
  }
  const rate = (all: Measured[]) => median(all.map(({ rowsPerSecond }) => rowsPerSecond));
  const ratio = rate(ours) / rate(theirs);
  yield {
    ...{ name: `archiving ${n(ours[0]?.rows ?? 0)} rows`, value: rate(ours), unit: 'rows/s' },
    ...{ versus: 'a bare delete and insert of the same rows', ratio, target: '≥ 0.3 ×', holds: ratio >= 0.3 },
    counts: {
      'bare rows/s': Math.round(rate(theirs)),
      ...counts(ours),
      'bare WAL bytes/row': walPerRow(theirs),
    },
  };
  yield {
    ...{ name: `restoring ${n(back[0]?.rows ?? 0)} rows`, value: rate(back), unit: 'rows/s' },
    ...{ versus: 'archiving them', ratio: rate(back) / rate(ours), target: null, holds: null },
    counts: counts(back),
  };
}

const walPerRow = (all: Measured[]) => Math.round(median(all.map(({ walBytes, rows }) => walBytes / rows)));

const counts = (all: Measured[]) => ({
  statements: median(all.map(({ statements }) => statements)),
  transactions: median(all.map(({ transactions }) => transactions)),
  'WAL bytes/row': walPerRow(all),
  'server peak MB': Math.max(...all.map((each) => each.serverPeakMb)),
  'peak MB': peakMemoryMb(),
});
