import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { type Connection, connect } from '../../core/db/connect.ts';

async function asAdmin(text: string): Promise<void> {
  const client = new pg.Client({ connectionString: process.env.TEST_DATABASE_URL });
  await client.connect();
  await client.query(text).finally(() => client.end());
}

/** As the owner. Row level security does not bind a superuser, so code under test takes `asApi` or `asWorker`. */
export interface TestDatabase extends Connection {
  url: string;
  asApi: Connection & { url: string };
  asWorker: Connection & { url: string };
}

/** A fresh, migrated database of its own, copied from the template; `close()` drops it. */
export async function testDatabase(options: { max?: number; template?: string } = {}): Promise<TestDatabase> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  // Two files may copy the template at once; Postgres refuses the second for a moment.
  for (let attempt = 1; ; attempt++) {
    try {
      await asAdmin(`create database ${name} template ${options.template ?? 'aim_template'}`);
      break;
    } catch (error) {
      if ((error as { code?: string }).code !== '55006' || attempt === 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  const connected = (to: string | undefined) => {
    const url = new URL(to ?? '');
    url.pathname = `/${name}`;
    return { ...connect(url.href, { max: options.max ?? 4 }), url: url.href };
  };
  const owner = connected(process.env.TEST_DATABASE_URL);
  const asApi = connected(process.env.TEST_API_DATABASE_URL);
  const asWorker = connected(process.env.TEST_WORKER_DATABASE_URL);
  return {
    ...owner,
    asApi,
    asWorker,
    async close() {
      await Promise.all([owner, asApi, asWorker].map((each) => each.close()));
      await asAdmin(`drop database ${name} with (force)`);
    },
  };
}
