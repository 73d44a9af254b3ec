import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { giveLogins } from '../../local/stack/logins.ts';

declare global {
  var services: ChildProcess | undefined;
}

/** Starts Postgres and the queue once for all test files, and makes the template that each file's database copies. */
export default async function setUp(): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'aim-test-'));
  const services = spawn(process.execPath, ['local/stack/services.ts', '--home', home, '--temporary'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  globalThis.services = services;
  const line = await new Promise<string>((resolve, reject) => {
    services.once('exit', (code) => reject(new Error(`the test services ended at start with code ${code}`)));
    if (services.stdout) createInterface(services.stdout).once('line', resolve);
  });
  const { databaseUrl, sqsEndpoint } = JSON.parse(line) as { databaseUrl: string; sqsEndpoint: string };

  const admin = new pg.Client({ connectionString: databaseUrl });
  await admin.connect();
  await admin.query('create database aim_template');
  await admin.end();
  const template = new URL(databaseUrl);
  template.pathname = '/aim_template';
  const migrated = spawnSync(process.execPath, ['scripts/migrate.ts', 'up'], {
    env: { ...process.env, DATABASE_URL: template.href },
    encoding: 'utf8',
  });
  if (migrated.status !== 0) throw new Error(`the migrations failed:\n${migrated.stderr}`);

  const logins = await giveLogins(databaseUrl);

  process.env.TEST_DATABASE_URL = databaseUrl;
  process.env.TEST_API_DATABASE_URL = logins.api;
  process.env.TEST_WORKER_DATABASE_URL = logins.worker;
  process.env.TEST_SQS_ENDPOINT = sqsEndpoint;
  process.env.TEST_HOME = home;
}
