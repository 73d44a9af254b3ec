/** Characters of answers that an invocation may hold; read, and written down again, each takes some eight bytes of memory. */
const maxSize = 32 * 1024 * 1024;
/** Of an answer that is awaited, before any has come. */
const firstGuess = 512 * 1024;

/**
 * Keeps what answers hold in memory within bounds: an ask begins only when there is room for its answer, taken to be as
 * large as the largest so far, beside those that are awaited and those that are not written yet. Without it one event
 * of large results would end the process, and all that it had paid for and not written.
 */
export function answerRoom({ size: all = maxSize } = {}) {
  let awaited = 0;
  let held = 0;
  let largest = firstGuess;
  const waiting: (() => void)[] = [];
  const hasRoom = () => held + awaited === 0 || held + (awaited + 1) * largest <= all;
  const admit = () => {
    while (waiting.length > 0 && hasRoom()) {
      awaited++;
      waiting.shift()?.();
    }
  };
  return {
    /** Waits for its turn; one alone always has room. */
    async enter(): Promise<void> {
      const turn = new Promise<void>((resolve) => waiting.push(resolve));
      admit();
      await turn;
    },
    /** The answer came, of so many characters, which are held until they are `written`. */
    answered(size: number): void {
      awaited--;
      held += size;
      largest = Math.max(largest, size);
      admit();
    },
    written(size: number): void {
      held -= size;
      admit();
    },
  };
}
