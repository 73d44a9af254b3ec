import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import type { DeliveryMessage } from '../../core/deliveries/queue.ts';
import { guardedAgent } from '../../core/http/guard.ts';
import type { DeadMessage } from '../../core/research/dead-letters.ts';
import { dispatch } from '../../core/research/dispatch.ts';
import { type EnqueueRequest, enqueue, kickOff } from '../../core/research/enqueue.ts';
import { type OutgoingMessage, readStamps, stampsAttribute } from '../../core/research/queue.ts';
import type { TestDatabase } from './database.ts';

/** The engine, as its own role, with a queue in memory that a test can look into, lose and repeat messages of. */
export function aConveyor(db: TestDatabase) {
  const sent: OutgoingMessage[] = [];
  const deliveries: OutgoingMessage<DeliveryMessage>[] = [];
  const http = guardedAgent({ allowedNetworks: ['127.0.0.0/8'], connections: 10 });
  const deps = {
    db: db.asWorker as Db,
    http,
    queue: {
      async send(messages: OutgoingMessage[]) {
        sent.push(...messages);
        return [] as OutgoingMessage[];
      },
    },
    deliveries: {
      async send(messages: OutgoingMessage<DeliveryMessage>[]) {
        deliveries.push(...messages);
        return [] as OutgoingMessage<DeliveryMessage>[];
      },
    },
    log: { info: () => undefined, warn: () => undefined },
    clock: Date.now,
    publicUrl: 'http://127.0.0.1:1',
    claimLeaseSeconds: 60,
    concurrency: 10,
  };
  return {
    deps,
    sent,
    /** What went to the delivery queue. */
    deliveries,
    async start(
      tenantId: string,
      campaignId: string,
      provider = 'a-provider',
      more: Partial<EnqueueRequest> = {},
    ) {
      const asked = db.asApi.forTenant(tenantId);
      const reply = await enqueue(asked, tenantId, campaignId, {
        provider,
        kind: 'company',
        all: true,
        final: true,
        priority: 0,
        dryRun: false,
        ...more,
      });
      await kickOff({ ...deps, db: asked }, reply.batchId ?? '');
      return reply.batchId ?? '';
    },
    /** Delivers what is on the queue, ignoring delays by making jobs due, until it is empty. */
    async drain({ maxRounds = 50 } = {}) {
      for (let round = 0; round < maxRounds && sent.length > 0; round++) {
        const ids = sent.splice(0).flatMap((message) => message.body.jobIds);
        await db.query(
          sql('test.due')`update research_jobs set run_at = now() where id = any(${ids}::uuid[])`,
        );
        await db.query(
          sql('test.unpause')`update research_providers set paused_until = least(paused_until, now())`,
        );
        await dispatch(deps, ids, { remainingMs: () => 60_000 });
      }
    },
    close: () => http.destroy(),
  };
}

/** The message as it comes off the dead-letter queue. */
export const deadLetter = (
  message: OutgoingMessage,
  messageId: string = crypto.randomUUID(),
): DeadMessage => ({
  messageId,
  body: JSON.stringify(message.body),
  receiveCount: 6,
  stamps: readStamps(message.attributes?.[stampsAttribute]),
});

export interface JobRow {
  id: string;
  status: string;
  retry_count: number;
  throttle_count: number;
  crash_count: number;
  error_code: string | null;
  error_message: string | null;
  attempt_id: string | null;
  leased: boolean;
  fed: boolean;
}

export const jobsOf = (db: Db, batchId: string): Promise<JobRow[]> =>
  db.query(sql('test.jobs')`
    select id, status, retry_count, throttle_count, crash_count, error_code, error_message, attempt_id,
      lease_until is not null as leased, fed_until is not null as fed
    from research_jobs where batch_id = ${batchId} order by company_id`);

export async function countOf(db: Db, what: ReturnType<ReturnType<typeof sql>>): Promise<number> {
  const [row] = await db.query<{ count: number }>(what);
  return row?.count ?? 0;
}
