/** What one chunk did: how many rows are gone, and behind which id the next one begins; null at the end. */
export interface FoldedChunk {
  folded: number;
  next: number | null;
}

/**
 * Folds chunk by chunk, each committed on its own, until done or out of time. The place is carried forward, so that a
 * chunk neither walks the dead rows of the one before nor sticks at a row in use.
 * @returns how many rows are gone
 */
export async function foldInChunks(
  chunkAfter: (after: number) => Promise<FoldedChunk>,
  { budgetMs }: { budgetMs: number },
): Promise<number> {
  const until = Date.now() + budgetMs;
  let folded = 0;
  for (let after: number | null = 0; after !== null; ) {
    const chunk = await chunkAfter(after);
    folded += chunk.folded;
    after = Date.now() < until ? chunk.next : null;
  }
  return folded;
}
