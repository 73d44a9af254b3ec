import type { Environments } from './environments.ts';
import type { FunctionDefinition } from './template.ts';

/** Runs at once and then at its rate; a run that takes longer than that does not hold up the next. */
export function schedule(
  definition: Pick<FunctionDefinition, 'name'>,
  everySeconds: number,
  invoke: Environments['invoke'],
  failed: (error: Error, messages: number) => void,
): () => Promise<void> {
  let last: Promise<unknown> = Promise.resolve();
  const tick = () => {
    last = invoke({ source: 'aws.scheduler', resources: [definition.name] }).catch((error: Error) =>
      failed(error, 0),
    );
  };
  const timer = setInterval(tick, everySeconds * 1000);
  tick();
  return async () => {
    clearInterval(timer);
    await last;
  };
}
