import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import { authenticate } from '../../core/keys/authenticate.ts';
import { createKey } from '../../core/keys/create.ts';

/** The tenant and API key of this machine: made at the first run, kept in `<home>/key` for this user's eyes only. */
export async function localKey(db: Db, home: string): Promise<string> {
  const file = join(home, 'key');
  if (existsSync(file)) {
    const key = readFileSync(file, 'utf8').trim();
    if (await authenticate({ db }, key)) return key;
  }
  const [tenant] = await db.query<{ id: string }>(sql('local.tenant')`
    insert into auth.users (id) values (${randomUUID()}) returning id`);
  if (!tenant) throw new Error('insert returned no row');
  const { key } = await createKey({ db }, tenant.id, {
    name: 'this machine',
    scopes: ['read', 'write', 'research', 'results:write'],
  });
  writeFileSync(file, key, { mode: 0o600 });
  return key;
}
