import { createHash } from 'node:crypto';
import { storableJson } from '../contract/text.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { Conflict } from '../errors.ts';

export interface Answer<Status extends number = number, Body = unknown> {
  status: Status;
  body: Body;
}

/** What an Idempotency-Key stands for: the key, and the request it was first sent with. */
export interface Repeatable {
  key: string;
  method: string;
  path: string;
  body: string;
}

/**
 * Does work once for an Idempotency-Key: the key, the work and its answer commit together. A repeat, also one that
 * comes while the first still runs, gets the stored answer; work that throws leaves no key behind.
 * @throws Conflict `idempotency_key_reused` when the key came with another request before
 */
export function once<Status extends number, Body>(
  { db }: { db: Db },
  tenantId: string,
  request: Repeatable,
  work: (tx: Db) => Promise<Answer<Status, Body>>,
): Promise<Answer<Status, Body> & { repeated: boolean }> {
  const hash = createHash('sha256').update(`${request.method} ${request.path}\n${request.body}`).digest();
  return db.transaction(async (tx) => {
    // Waits here while another transaction holds the same key.
    const taken = await tx.query(sql('idempotency.take')`
      insert into idempotency_keys (user_id, key, request_hash) values (${tenantId}, ${request.key}, ${hash})
      on conflict (user_id, key) do nothing returning key`);
    if (taken.length === 0) {
      const answer = await stored(tx, tenantId, request.key, hash);
      return { ...(answer as Answer<Status, Body>), repeated: true };
    }

    const answer = await work(tx);
    // An answer repeats what the caller wrote, which may be what made Postgres refuse a row.
    const kept = storableJson(answer.body);
    await tx.query(sql('idempotency.store')`
      update idempotency_keys set status = ${answer.status}, answer = ${kept}::jsonb
      where user_id = ${tenantId} and key = ${request.key}`);
    return { ...answer, repeated: false };
  });
}

async function stored(tx: Db, tenantId: string, key: string, hash: Buffer): Promise<Answer> {
  const [row] = await tx.query<{ request_hash: Buffer; status: number; answer: unknown }>(sql(
    'idempotency.get',
  )`
    select request_hash, status, answer from idempotency_keys where user_id = ${tenantId} and key = ${key}`);
  if (!row) throw new Conflict('conflict', 'the Idempotency-Key was just forgotten; send the request again');
  if (!row.request_hash.equals(hash)) {
    const message = 'this Idempotency-Key was used for another request; take a new one for each request';
    throw new Conflict('idempotency_key_reused', message);
  }
  return { status: row.status, body: row.answer };
}
