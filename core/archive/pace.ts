/** Decides how long to wait between two transactions. */
export interface Pace {
  /** Chunks that the next transaction moves. */
  readonly chunks: number;
  /** @returns how long to wait after a transaction that moved so many chunks and took so long */
  after(transaction: { ms: number; chunks: number }, probeMs: number): number;
}

const maxChunks = 5;
/** The least of so many transactions or probes counts as undisturbed; older ones are forgotten. */
const remembered = 200;

/**
 * Gives way when others are slowed down: a chunk, or the probe, that takes longer than it once did means that somebody
 * else is at work, and each time the wait grows, up to four times the work; when all is quiet it shrinks to nothing.
 */
export function politePace({ tolerance = 1.5, targetMs = 150 } = {}): Pace {
  const works = quietest();
  const probes = quietest();
  let share = 0;
  let chunks = 1;
  return {
    get chunks() {
      return chunks;
    },
    after(transaction, probeMs) {
      const perChunk = transaction.ms / Math.max(1, transaction.chunks);
      const isSlow = perChunk > tolerance * works(perChunk) || probeMs > 1 + tolerance * probes(probeMs);
      share = isSlow ? Math.min(4, share + 0.5) : Math.max(0, share - 0.1);
      // Short transactions while others are at work: each is a burst of writes that they wait behind.
      const wanted = (isSlow ? targetMs / 3 : targetMs) / perChunk;
      chunks = Math.max(1, Math.min(maxChunks, Math.floor(wanted), chunks + 1));
      return transaction.ms * share;
    },
  };
}

function quietest(): (ms: number) => number {
  const seen: number[] = [];
  return (ms) => {
    seen.push(ms);
    if (seen.length > remembered) seen.shift();
    return Math.min(...seen);
  };
}
