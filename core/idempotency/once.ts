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

const hashOf = ({ method, path, body }: Repeatable) =>
  createHash('sha256').update(`${method} ${path}\n${body}`).digest();

/**
 * What a repeat gets without waiting for anybody: undefined while no request with the key has ended.
 * @throws Conflict `idempotency_key_reused`
 */
export async function answered<Status extends number, Body>(
  { db }: { db: Db },
  tenantId: string,
  request: Repeatable,
): Promise<Answer<Status, Body> | undefined> {
  return (await stored(db, tenantId, request)) as Answer<Status, Body> | undefined;
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
  return db.transaction(async (tx) => {
    // Waits here while another transaction holds the same key.
    const taken = await tx.query(sql('idempotency.take')`
      insert into idempotency_keys (user_id, key, request_hash) values (${tenantId}, ${request.key}, ${hashOf(request)})
      on conflict (user_id, key) do nothing returning key`);
    if (taken.length === 0) {
      const answer = await stored(tx, tenantId, request);
      if (!answer)
        throw new Conflict('conflict', 'the Idempotency-Key was just forgotten; send the request again');
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

async function stored(tx: Db, tenantId: string, request: Repeatable): Promise<Answer | undefined> {
  const [row] = await tx.query<{ request_hash: Buffer; status: number; answer: unknown }>(sql(
    'idempotency.get',
  )`
    select request_hash, status, answer from idempotency_keys where user_id = ${tenantId} and key = ${request.key}`);
  if (!row) return undefined;
  if (!row.request_hash.equals(hashOf(request))) {
    const message = 'this Idempotency-Key was used for another request; take a new one for each request';
    throw new Conflict('idempotency_key_reused', message);
  }
  return { status: row.status, body: row.answer };
}
