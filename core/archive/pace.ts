/** What a transaction did and, from a look at the database after it, what others did. */
export interface Observation {
  ms: number;
  chunks: number;
  /** Of what; work of one kind is compared with work of the same. */
  kind: string;
  /** How long the look took. */
  lookMs: number;
  /** Transactions of everybody in this database since the look before. */
  transactions: number;
  /** Since the look before. */
  sinceMs: number;
}

/** Decides how long to wait between two transactions. */
export interface Pace {
  /** Chunks that the next transaction moves. */
  readonly chunks: number;
  /** @returns how long to wait now */
  after(observation: Observation): number;
}

const maxChunks = 6;
const remembered = 100;
/** Our own transactions are a few a second; a sweep or a lone user does not make the archiver wait. */
const busyPerSecond = 50;

/**
 * Gives way when others are at work: it then waits at least as long as it worked, in shorter transactions, and longer,
 * up to four times as long, while its own work or the look takes longer than it used to. In a quiet database it does
 * not wait at all, so that a night suffices. A look that is slow once means nothing.
 */
export function politePace({ tolerance = 1.5, targetMs = 250, busyTargetMs = 40 } = {}): Pace {
  const works = new Map<string, (ms: number) => number>();
  const usualLook = usual();
  let share = 0;
  let chunks = 1;
  return {
    get chunks() {
      return chunks;
    },
    after({ ms, chunks: moved, kind, lookMs, transactions, sinceMs }) {
      if (moved === 0) {
        // A walk that found nothing to move: in longer strides, while they take no time.
        if (ms < busyTargetMs) chunks = Math.min(maxChunks, chunks + 1);
        return 0;
      }
      const perChunk = ms / moved;
      const usualWork = works.get(kind) ?? usual();
      works.set(kind, usualWork);
      const isSlow = perChunk > tolerance * usualWork(perChunk) || lookMs > 1 + tolerance * usualLook(lookMs);
      // Statistics come once a second: of a shorter span they may tell what was before it.
      const isBusy = (transactions - 4) * 1_000 > busyPerSecond * Math.max(1_000, sinceMs);
      share = isSlow ? share + 0.25 : share - 0.1;
      share = Math.min(4, Math.max(isBusy ? 1 : 0, share));
      const fitting = Math.floor((isBusy ? busyTargetMs : targetMs) / perChunk);
      chunks = Math.max(1, Math.min(maxChunks, fitting, chunks + 1));
      // Slow in a quiet database is the machine's business: a wait would give way to nobody.
      return isBusy ? ms * share : 0;
    },
  };
}

/** The lower quartile of the last values: what it is when nothing disturbs. */
function usual(): (ms: number) => number {
  const seen: number[] = [];
  return (ms) => {
    seen.push(ms);
    if (seen.length > remembered) seen.shift();
    return seen.toSorted((a, b) => a - b)[Math.floor(seen.length / 4)] ?? ms;
  };
}
