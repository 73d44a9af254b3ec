import { load, ofRows, tables } from './archive/campaign.ts';
import { crowd } from './archive/crowd.ts';
import { archive as archiveOne, bare, type Measured, makeCopies, restore } from './archive/move.ts';
import { plan } from './archive/plan.ts';
import { aStage, type Stage, sizeOf, tidy } from './archive/stage.ts';
import { median, peakMemoryMb, type Row } from './row.ts';

/** BENCH_SCALE=0.1 for a look; the targets are those of the whole. */
const scale = Number(process.env.BENCH_SCALE ?? 1);
const [small, middle, large] = [10_000 * scale, 100_000 * scale, 1_000_000 * scale];
const rounds = 3;
/** Of the one that is compared with the bare way: each a pair, in turn the one first and the other. */
const pairs = 7;
const largeRounds = 2;

/** Archives: how fast rows go into them and back, how much room they take, and what else goes on meanwhile. */
export async function* archive(): AsyncGenerator<Row> {
  for (const part of [parts, crowded]) {
    const stage = await aStage();
    try {
      yield* part(stage);
    } finally {
      await stage.close();
    }
  }
}

async function* parts(stage: Stage): AsyncGenerator<Row> {
  await makeCopies(stage.db);
  yield await size(stage);
  yield* speed(stage);
}

async function* crowded(stage: Stage): AsyncGenerator<Row> {
  yield await crowd(stage, large);
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

/** Campaigns of all sizes lie side by side in the same tables, and are moved in turn; a vacuum comes before each. */
async function* speed(stage: Stage): AsyncGenerator<Row> {
  const { db, tenantId } = stage;
  const wanted = [
    ...Array.from({ length: rounds }, () => small),
    ...Array.from({ length: 2 * pairs + 1 }, () => middle),
    ...Array.from({ length: largeRounds + 1 }, () => large),
  ];
  const ids = await load(db, tenantId, wanted.map(ofRows));
  const take = (rows: number): string => {
    const at = wanted.indexOf(rows);
    wanted.splice(at, 1);
    return ids.splice(at, 1)[0] ?? '';
  };
  const moved = async (move: typeof archiveOne, id: string) => {
    await tidy(db);
    return move(stage, id);
  };
  const ours: Record<'small' | 'middle' | 'large', Measured[]> = { small: [], middle: [], large: [] };
  const theirs: Measured[] = [];
  const archivedIds: string[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    const id = take(middle);
    if (archivedIds.length < rounds) archivedIds.push(id);
    if (pair % 2 === 1) theirs.push(await moved(bare, take(middle)));
    ours.middle.push(await moved(archiveOne, id));
    if (pair % 2 === 0) theirs.push(await moved(bare, take(middle)));
  }
  for (let round = 0; round < rounds; round++) {
    ours.small.push(await moved(archiveOne, take(small)));
    if (round < largeRounds) ours.large.push(await moved(archiveOne, take(large)));
  }
  yield* rates(ours, theirs);
  yield await plan(stage, take(middle));
  const last = take(large);
  yield await plan(stage, last);
  // Where the plan's way failed, its rows are still there.
  const largeBare = await moved(bare, last);
  if (largeBare.rows > 0) yield againstBare(ours.large, [largeBare], null);
  const back: Measured[] = [];
  for (const id of archivedIds) back.push(await moved(restore, id));
  yield {
    ...{ name: `restoring ${n(back[0]?.rows ?? 0)} rows`, value: rate(back), unit: 'rows/s' },
    ...{ versus: 'archiving them', ratio: rate(back) / rate(ours.middle), target: null, holds: null },
    counts: counts(back),
  };
}

function* rates(ours: Record<'small' | 'middle' | 'large', Measured[]>, theirs: Measured[]): Generator<Row> {
  yield againstBare(ours.middle, theirs, 0.3);
  const linear = rate(ours.large) / rate(ours.middle);
  yield {
    ...{ name: `the rate at ${n(ours.large[0]?.rows ?? 0)} rows`, value: rate(ours.large), unit: 'rows/s' },
    ...{ versus: `the rate at ${n(ours.middle[0]?.rows ?? 0)}`, ratio: linear },
    ...{ target: '≥ 0.8 ×', holds: linear >= 0.8 },
    counts: {
      [`rows/s at ${n(ours.small[0]?.rows ?? 0)}`]: Math.round(rate(ours.small)),
      ...counts(ours.large),
    },
  };
}

function againstBare(ours: Measured[], theirs: Measured[], target: number | null): Row {
  // Each against the one beside it: what slows the machine for a while slows both.
  const beside = (at: number) => theirs[at % theirs.length]?.rowsPerSecond ?? Number.NaN;
  const ratios = ours.map(({ rowsPerSecond }, at) => rowsPerSecond / beside(at));
  const ratio = median(ratios);
  return {
    ...{ name: `archiving ${n(ours[0]?.rows ?? 0)} rows`, value: rate(ours), unit: 'rows/s' },
    ...{ versus: 'a bare delete and insert of as many', ratio },
    ...{ target: target === null ? null : `≥ ${target} ×`, holds: target === null ? null : ratio >= target },
    counts: {
      'bare rows/s': Math.round(rate(theirs)),
      'lowest of the pairs ×': Math.round(Math.min(...ratios) * 100) / 100,
      'highest of the pairs ×': Math.round(Math.max(...ratios) * 100) / 100,
      ...counts(ours),
      'bare WAL bytes/row': walPerRow(theirs),
      'bare longest transaction ms': longest(theirs),
      'bare server peak MB': peak(theirs),
    },
  };
}

const rate = (all: Measured[]) => median(all.map(({ rowsPerSecond }) => rowsPerSecond));
const walPerRow = (all: Measured[]) => Math.round(median(all.map(({ walBytes, rows }) => walBytes / rows)));
const longest = (all: Measured[]) => Math.round(Math.max(...all.map(({ longestMs }) => longestMs)));
const peak = (all: Measured[]) => Math.max(...all.map((each) => each.serverPeakMb));

const counts = (all: Measured[]) => ({
  statements: median(all.map(({ statements }) => statements)),
  transactions: median(all.map(({ transactions }) => transactions)),
  'longest transaction ms': longest(all),
  'WAL bytes/row': walPerRow(all),
  'server peak MB': peak(all),
  'peak MB': peakMemoryMb(),
});
