import { onOrphaned } from './orphan.ts';

/**
 * Runs `stop` once when asked to end: Ctrl-C, SIGTERM, or when the process that started us is gone. A second Ctrl-C
 * does not wait; any other signal may come twice, from whoever passes it on.
 * @returns aborted as soon as we are asked; from then on the process ends by itself, when `stop` is done
 */
export function stopOnSignals(stop: () => Promise<void>): AbortSignal {
  const asked = new AbortController();
  const end = (code: number) => {
    if (asked.signal.aborted) return;
    asked.abort();
    stop().then(
      () => process.exit(code),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  };
  process.on('SIGINT', () => (asked.signal.aborted ? process.exit(130) : end(130)));
  process.on('SIGTERM', () => end(143));
  process.on('SIGHUP', () => end(129));
  onOrphaned(() => {
    // Nobody reads our output any more; writing to it must not end us before all is stopped.
    process.stdout.on('error', () => undefined);
    process.stderr.on('error', () => undefined);
    end(1);
  });
  return asked.signal;
}
