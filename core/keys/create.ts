import { randomBytes } from 'node:crypto';
import type { Scope } from '../contract/keys.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { hashKey } from './authenticate.ts';

/**
 * Makes an API key for a tenant. Only its SHA-256 is kept, so this is the one time it can be read.
 * @returns the key's id and the key itself
 */
export async function createKey(
  { db }: { db: Db },
  tenantId: string,
  { name, scopes }: { name: string; scopes: Scope[] },
): Promise<{ id: string; key: string }> {
  const key = `afl_${randomBytes(32).toString('base64url')}`;
  const [row] = await db.query<{ id: string }>(sql('keys.create')`
    insert into api_keys (user_id, name, prefix, hash, scopes)
    values (${tenantId}, ${name}, ${key.slice(0, 12)}, ${hashKey(key)}, ${scopes})
    returning id`);
  return { id: (row as { id: string }).id, key };
}
