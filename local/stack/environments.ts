import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { Worker } from 'node:worker_threads';
import { root } from './paths.ts';
import type { FunctionDefinition } from './template.ts';

/** The function threw, timed out, or its process ended. */
export class InvocationFailed extends Error {
  readonly errorType: string;
  constructor(errorType: string, message: string) {
    super(message);
    this.errorType = errorType;
  }
}

const idleMs = 30_000;

interface Environment {
  worker: Worker;
  retire?: NodeJS.Timeout;
}

export interface Environments {
  /** @param caller aborted when nobody waits for the answer any more: what has not had its turn by then is not run */
  invoke(event: unknown, caller?: AbortSignal): Promise<unknown>;
  stop(): Promise<void>;
}

/**
 * The execution environments of one function: made when an invocation finds none idle, reused, retired when idle for
 * 30 s. One that crashes or exceeds its timeout is thrown away; the next invocation gets a new one. Where AWS would
 * go up to a thousand, invocations beyond `limit` wait here for their turn: this is one machine.
 */
export function environments(
  definition: FunctionDefinition,
  options: { env: Record<string, string>; log: Writable; limit: number },
): Environments {
  const idle: Environment[] = [];
  const all = new Set<Environment>();
  const waiting: (() => void)[] = [];
  let busy = 0;
  let stopped = false;

  const discard = (environment: Environment) => {
    all.delete(environment);
    clearTimeout(environment.retire);
    const place = idle.indexOf(environment);
    if (place >= 0) idle.splice(place, 1);
    return environment.worker.terminate();
  };

  const make = (): Environment => {
    const worker = new Worker(join(root, 'local', 'stack', 'worker.ts'), {
      workerData: {
        bundle: definition.bundle,
        name: definition.name,
        timeoutMs: definition.timeoutSeconds * 1000,
      },
      env: { ...options.env, AWS_LAMBDA_FUNCTION_NAME: definition.name },
      resourceLimits: { maxOldGenerationSizeMb: 512 },
      stdout: true,
      stderr: true,
    });
    for (const output of [worker.stdout, worker.stderr]) output.on('data', (text) => options.log.write(text));
    const environment = { worker };
    all.add(environment);
    // One that ends between invocations is not used again, and does not end this process.
    worker.on('error', () => undefined).on('exit', () => void discard(environment));
    return environment;
  };

  function run(event: unknown): Promise<unknown> {
    if (stopped) return Promise.reject(new InvocationFailed('Sandbox.Stopped', 'the stack is stopping'));
    const environment = idle.pop() ?? make();
    clearTimeout(environment.retire);
    const { worker } = environment;
    const id = randomUUID();
    return new Promise((resolve, reject) => {
      const fail = (error: InvocationFailed) => {
        settle();
        options.log.write(`${id} ${error.errorType}: ${error.message}\n`);
        void discard(environment).then(() => reject(error));
      };
      const onMessage = (message: {
        id: string;
        result?: unknown;
        error?: { errorType: string; errorMessage: string };
      }) => {
        if (message.id !== id) return;
        settle();
        environment.retire = setTimeout(() => void discard(environment), idleMs);
        environment.retire.unref();
        idle.push(environment);
        if (message.error) reject(new InvocationFailed(message.error.errorType, message.error.errorMessage));
        else resolve(message.result);
      };
      const onError = (error: Error) => fail(new InvocationFailed(error.name, error.message));
      const onExit = (code: number) =>
        fail(new InvocationFailed('Runtime.ExitError', `exited with code ${code}`));
      const timer = setTimeout(
        () =>
          fail(new InvocationFailed('Sandbox.Timedout', `timed out after ${definition.timeoutSeconds} s`)),
        definition.timeoutSeconds * 1000,
      );
      const settle = () => {
        clearTimeout(timer);
        worker.off('message', onMessage).off('error', onError).off('exit', onExit);
      };
      worker.on('message', onMessage).on('error', onError).on('exit', onExit);
      worker.postMessage({ id, event });
    });
  }

  return {
    async invoke(event, caller) {
      if (busy >= options.limit) await new Promise<void>((resolve) => waiting.push(resolve));
      else busy++;
      try {
        if (caller?.aborted) throw new InvocationFailed('Sandbox.CallerGone', 'the caller has hung up');
        return await run(event);
      } finally {
        const next = waiting.shift();
        if (next) next();
        else busy--;
      }
    },
    async stop() {
      stopped = true;
      await Promise.all([...all].map(discard));
    },
  };
}
