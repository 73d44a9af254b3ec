import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onOrphaned } from '../../local/stack/orphan.ts';
import { root } from '../../local/stack/paths.ts';
import { freePort } from '../../local/stack/ports.ts';
import { until } from '../../local/stack/processes.ts';
import { npm } from './install.ts';

/** A quiet n8n of its own folder, on loopback, that asks nothing of the internet. */
export interface N8n {
  url: string;
  /** Runs one command of n8n's command line. @returns what it printed */
  cli(...args: string[]): Promise<string>;
  /** Starts the server and signs in as a new owner. */
  start(): Promise<void>;
  /** Asks n8n's own REST interface as the editor does. */
  rest<Answer>(method: string, path: string, body?: unknown): Promise<Answer>;
  stop(): Promise<void>;
}

/** Packs the project and installs it into n8n's folder, as users do. @returns the paths inside the package */
export async function installPackage(folder: string): Promise<string[]> {
  const nodes = join(folder, '.n8n', 'nodes');
  mkdirSync(nodes, { recursive: true });
  writeFileSync(join(nodes, 'package.json'), '{"private":true}');
  await npm(nodes, ['pack', root, '--pack-destination', nodes, '--json']);
  const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    name: string;
    version: string;
  };
  const flags = ['--omit=dev', '--legacy-peer-deps', '--ignore-scripts', '--no-package-lock'];
  await npm(nodes, ['install', ...flags, join(nodes, `${name}-${version}.tgz`)]);
  const log = readFileSync(join(nodes, 'npm.log'), 'utf8');
  return [...log.matchAll(/"path": "([^"]+)"/g)].map(([, path]) => path ?? '');
}

/** @param databaseUrl of an empty database for n8n's own tables */
export async function prepareN8n(program: string, folder: string, databaseUrl: string): Promise<N8n> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const env = environment(folder, port, new URL(databaseUrl));
  let server: ChildProcess | undefined;
  let cookie = '';

  async function rest<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { 'content-type': 'application/json', 'browser-id': 'e2e', cookie },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const set = response.headers.getSetCookie().find((line) => line.startsWith('n8n-auth='));
    if (set) cookie = set.split(';')[0] ?? '';
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text.slice(0, 500)}`);
    return (JSON.parse(text) as { data: Answer }).data;
  }

  return {
    url,
    rest,
    async cli(...args) {
      const child = spawn(process.execPath, [program, ...args], {
        cwd: folder,
        env: { ...env, N8N_RUNNERS_BROKER_PORT: String(await freePort()) },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      onOrphaned(() => child.kill('SIGKILL'));
      let output = '';
      let errors = '';
      child.stdout.on('data', (chunk) => {
        output += chunk;
      });
      child.stderr.on('data', (chunk) => {
        errors += chunk;
      });
      const code = await new Promise((resolve) => child.once('close', resolve));
      if (code !== 0)
        throw new Error(`n8n ${args.join(' ')} ended with ${code}: ${(output + errors).slice(-2000)}`);
      return output;
    },
    async start() {
      const log = createWriteStream(join(folder, 'n8n.log'));
      server = spawn(process.execPath, [program, 'start'], {
        cwd: folder,
        env: { ...env, N8N_RUNNERS_BROKER_PORT: String(await freePort()) },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      onOrphaned(() => server?.kill('SIGKILL'));
      server.stdout?.pipe(log);
      server.stderr?.pipe(log);
      const isUp = await until(() => isReady(`${url}/rest/settings`), 90_000, 200);
      if (!isUp) throw new Error(`n8n did not start in 90 s; see ${join(folder, 'n8n.log')}`);
      await rest('POST', '/rest/owner/setup', owner);
      // A session begun while n8n was still starting may be refused later: sign in until it holds.
      const { email: emailOrLdapLoginId, password } = owner;
      const signIn = async () => {
        await rest('POST', '/rest/login', { emailOrLdapLoginId, password });
        await rest('GET', '/rest/login');
        return true;
      };
      const isIn = await until(() => signIn().catch(() => false), 60_000, 500);
      if (!isIn) throw new Error(`nobody can sign in to n8n; see ${join(folder, 'n8n.log')}`);
    },
    async stop() {
      if (!server || server.exitCode !== null) return;
      const ended = new Promise((resolve) => server?.once('exit', resolve));
      server.kill('SIGTERM');
      const timer = setTimeout(() => server?.kill('SIGKILL'), 15_000);
      await ended;
      clearTimeout(timer);
    },
  };
}

const owner = {
  email: 'owner@example.com',
  firstName: 'Erin',
  lastName: 'Owner',
  password: 'Only-for-this-test-1',
};

function environment(folder: string, port: number, database: URL): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH,
    HOME: folder,
    N8N_USER_FOLDER: folder,
    N8N_ENCRYPTION_KEY: 'only-for-this-test',
    N8N_PORT: String(port),
    N8N_LISTEN_ADDRESS: '127.0.0.1',
    N8N_SECURE_COOKIE: 'false',
    DB_TYPE: 'postgresdb',
    DB_POSTGRESDB_HOST: database.hostname,
    DB_POSTGRESDB_PORT: database.port,
    DB_POSTGRESDB_DATABASE: database.pathname.slice(1),
    DB_POSTGRESDB_USER: database.username,
    DB_POSTGRESDB_PASSWORD: database.password,
    N8N_DIAGNOSTICS_ENABLED: 'false',
    N8N_VERSION_NOTIFICATIONS_ENABLED: 'false',
    N8N_VERSION_NOTIFICATIONS_WHATS_NEW_ENABLED: 'false',
    N8N_TEMPLATES_ENABLED: 'false',
    N8N_PERSONALIZATION_ENABLED: 'false',
    N8N_HIRING_BANNER_ENABLED: 'false',
    N8N_DYNAMIC_BANNERS_ENABLED: 'false',
    N8N_VERIFIED_PACKAGES_ENABLED: 'false',
    N8N_UNVERIFIED_PACKAGES_ENABLED: 'true',
    N8N_DISABLED_MODULES: 'mcp-registry,instance-ai,chat-hub',
  };
}

/** While n8n starts, it answers 200 with a sentence in place of JSON. */
async function isReady(url: string): Promise<boolean> {
  const text = await fetch(url)
    .then((response) => response.text())
    .catch(() => '');
  return text.startsWith('{');
}
