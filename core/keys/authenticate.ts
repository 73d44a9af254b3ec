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
 * Finds the key by its hash, which also notes at most once a minute that the key was used. Keys can be read no other way.
 * @returns undefined for a key that is unknown or revoked
 */
export async function authenticate({ db }: { db: Db }, key: string): Promise<Caller | undefined> {
  if (!keyPattern.test(key)) return undefined;
  const [caller] = await db.query<Caller>(sql('keys.authenticate')`
    select user_id as "tenantId", id as "keyId", name as "keyName", prefix as "keyPrefix", scopes
    from aim.authenticate(${hashKey(key)})`);
  return caller;
}
