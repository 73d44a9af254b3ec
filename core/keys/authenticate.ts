import { createHash } from 'node:crypto';
import type { Scope } from '../contract/keys.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';

/** Who is asking: a key of a tenant, and what it may do. */
export interface Caller {
  tenantId: string;
  keyId: string;
  keyName: string;
  keyPrefix: string;
  scopes: Scope[];
}

export const keyPattern = /^afl_[A-Za-z0-9_-]{20,100}$/;

export function hashKey(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

/**
 * Finds the key by its hash, in one statement, which also notes at most once a minute that the key was used.
 * @returns undefined for a key that is unknown or revoked
 */
export async function authenticate({ db }: { db: Db }, key: string): Promise<Caller | undefined> {
  if (!keyPattern.test(key)) return undefined;
  const [caller] = await db.query<Caller>(sql('keys.authenticate')`
    with stale as (
      -- Skipped when another request is just noting the same: nobody waits for this.
      select id from api_keys
      where hash = ${hashKey(key)} and revoked_at is null
        and (last_used_at is null or last_used_at < now() - interval '1 minute')
      for update skip locked
    ), touched as (
      update api_keys set last_used_at = now() from stale where api_keys.id = stale.id
    )
    select user_id as "tenantId", id as "keyId", name as "keyName", prefix as "keyPrefix", scopes
    from api_keys where hash = ${hashKey(key)} and revoked_at is null`);
  return caller;
}
