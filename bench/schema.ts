import { connect } from '../core/db/connect.ts';
import { createKey } from '../core/keys/create.ts';
import { buildApp } from '../lambdas/api/app.ts';
import type { Row } from './row.ts';
import { cache } from './schema/cache.ts';
import { copy } from './schema/copy.ts';
import { loadMillion, run } from './schema/million.ts';
import { pages } from './schema/pages.ts';
import { searches } from './schema/search.ts';
import { triggers } from './schema/triggers.ts';
import { aWorld } from './world.ts';

/** The schema at scale: a million contacts in 100 tenants, and the API over them as the role it is deployed with. */
export async function* schema(): AsyncGenerator<Row> {
  const world = await aWorld();
  const { tenantId } = world;
  await run(world.db, "alter role aim_api login password 'bench'");
  await run(world.db, 'create extension if not exists pg_stat_statements');
  const url = new URL(world.url);
  url.username = 'aim_api';
  url.password = 'bench';
  const db = connect(url.href, { max: 4 });
  const app = buildApp({
    db,
    queue: { send: async () => [] },
    deliveries: { send: async () => [] },
    log: { info: () => undefined, warn: () => undefined },
    clock: Date.now,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    invokeArchive: async () => undefined,
    refusal: () => undefined,
  });
  const { key } = await createKey(world, tenantId, { name: 'bench', scopes: ['read', 'write'] });
  const authorization = `Bearer ${key}`;
  const get = async (path: string, headers = {}) =>
    app.request(path, { headers: { authorization, ...headers } });
  const post = async (path: string, body: unknown) =>
    app.request(path, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  try {
    yield* cache(world.db, tenantId, get);
    yield* copy(world.db, tenantId, post);
    yield* triggers(world.db, tenantId);
    const million = await loadMillion(world.db);
    yield* pages(world.db, db.forTenant(million.large.tenantId), million);
    yield* searches(db, million);
  } finally {
    await db.close();
    await world.close();
  }
}
