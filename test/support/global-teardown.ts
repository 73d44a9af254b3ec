import { once } from 'node:events';
import { rmSync } from 'node:fs';

export default async function tearDown(): Promise<void> {
  const services = globalThis.services;
  if (services && services.exitCode === null) {
    services.removeAllListeners('exit');
    const exited = once(services, 'exit');
    services.stdin?.end();
    await exited;
  }
  if (process.env.TEST_HOME) rmSync(process.env.TEST_HOME, { recursive: true, force: true });
}
