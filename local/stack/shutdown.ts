import { onOrphaned } from './orphan.ts';

/**
 * Runs `stop` once when asked to end: Ctrl-C, SIGTERM, or when the process that started us is gone. A second Ctrl-C
 * does not wait.
 */
export function stopOnSignals(stop: () => Promise<void>): void {
  let stopping = false;
  const end = (code: number) => {
    if (stopping) process.exit(code);
    stopping = true;
    stop().then(
      () => process.exit(code),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  };
  process.on('SIGINT', () => end(130));
  process.on('SIGTERM', () => end(143));
  process.on('SIGHUP', () => end(129));
  onOrphaned(() => {
    // Nobody reads our output any more; writing to it must not end us before all is stopped.
    process.stdout.on('error', () => undefined);
    process.stderr.on('error', () => undefined);
    end(1);
  });
}
