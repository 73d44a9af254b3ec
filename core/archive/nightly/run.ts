import { randomUUID } from 'node:crypto';
import type { Db } from '../../db/connect.ts';
import { sql } from '../../db/sql.ts';
import type { Whole } from '../progress.ts';

/** Where a run stands in its walk over the active campaigns. */
export interface Place {
  at: string;
  id: string;
}
/** A run as the invocation that holds its lease knows it. */
export interface Run {
  id: string;
  leaseId: string;
  startedAt: string;
  invocations: number;
  after: Place | undefined;
}
export interface Outcome {
  tenantId: string;
  campaignId: string;
  action: 'archive' | 'restore' | 'purge';
  reason: 'idle' | 'ended' | 'closed' | 'asked' | 'retention' | 'deleted';
  /** Of this invocation. */
  rows: number;
  ms: number;
  /** Of all invocations that were needed, which is what the tenant is told. */
  whole?: Whole | undefined;
  error?: { code: string; message: string };
}
/** Of the whole run, over all its invocations. */
export interface Report {
  invocations: number;
  archived: number;
  restored: number;
  purged: number;
  failed: number;
  rows: number;
}

/** Another invocation has taken the run over: nothing that this one writes counts any more. */
export class LeaseLost extends Error {}

/**
 * Takes the lease: of the open run once nobody holds it, or by the lease that was handed over; of a new run when none
 * is open. @returns undefined while another holds it
 * @param handed what the invocation before gave along
 * @param leaseMs longer than this invocation can last
 */
export async function claimRun(
  db: Db,
  handed: string | undefined,
  leaseMs: number,
): Promise<Run | undefined> {
  const leaseId = randomUUID();
  const until = sql.fragment`now() + make_interval(secs => ${leaseMs / 1000}::float8)`;
  const columns = sql.fragment`id, lease_id, started_at, invocations, after_at, after_id`;
  const [taken] = await db.query<Row>(sql('archive_runs.take')`
    update archive_runs set lease_id = ${leaseId}, lease_until = ${until}, invocations = invocations + 1, updated_at = now()
    where finished_at is null and (lease_until <= now() or lease_id = ${handed ?? null}::uuid) returning ${columns}`);
  if (taken) return runOf(taken);
  // A lease that was handed over belongs to a run that is open; where it is gone, so is the reason to go on.
  if (handed !== undefined) return undefined;
  const [begun] = await db.query<Row>(sql('archive_runs.begin')`
    insert into archive_runs (lease_id, lease_until) values (${leaseId}, ${until})
    on conflict ((true)) where finished_at is null do nothing returning ${columns}`);
  return begun && runOf(begun);
}

/** Before each piece of work. @throws LeaseLost */
export async function checkLease(db: Db, run: Run): Promise<void> {
  const rows = await db.query(sql('archive_runs.check')`
    select id from archive_runs where id = ${run.id} and lease_id = ${run.leaseId} and finished_at is null`);
  if (rows.length === 0) throw new LeaseLost();
}

/** Writes down what was done, for the operator and for the tenant, in one transaction. @throws LeaseLost */
export function note(db: Db, run: Run, outcome: Outcome): Promise<void> {
  const { tenantId, campaignId, action, reason, error, whole = outcome } = outcome;
  const did = (what: Outcome['action']) => (error === undefined && action === what ? 1 : 0);
  return db.transaction(async (tx) => {
    const held = await tx.query(sql('archive_runs.note')`
      update archive_runs set archived = archived + ${did('archive')}, restored = restored + ${did('restore')},
        purged = purged + ${did('purge')}, failed = failed + ${error ? 1 : 0}, rows = rows + ${outcome.rows},
        updated_at = now()
      where id = ${run.id} and lease_id = ${run.leaseId} and finished_at is null returning id`);
    if (held.length === 0) throw new LeaseLost();
    await tx.query(sql('archive_events.add')`
      insert into archive_events (user_id, run_id, campaign_id, action, outcome, reason, error_code, error_message, rows, ms)
      values (${tenantId}, ${run.id}, ${campaignId}, ${action}, ${error ? 'failed' : 'done'}, ${reason},
        ${error?.code ?? null}, ${error?.message.slice(0, 2000) ?? null}, ${whole.rows}, ${Math.round(whole.ms)})`);
  });
}

/** How far the walk is, and rows that were moved without an end. @throws LeaseLost */
export async function saveRun(
  db: Db,
  run: Run,
  { after, rows }: { after?: Place | undefined; rows: number },
) {
  const held = await db.query(sql('archive_runs.save')`
    update archive_runs set after_at = ${after?.at ?? null}::timestamptz, after_id = ${after?.id ?? null}::uuid,
      rows = rows + ${rows}, updated_at = now()
    where id = ${run.id} and lease_id = ${run.leaseId} and finished_at is null returning id`);
  if (held.length === 0) throw new LeaseLost();
}

/** The next invocation may take it by this lease at once; anybody may where it does not come. @throws LeaseLost */
export async function handOver(db: Db, run: Run): Promise<void> {
  const held = await db.query(sql('archive_runs.hand_over')`
    update archive_runs set lease_until = now() + interval '5 minutes', updated_at = now()
    where id = ${run.id} and lease_id = ${run.leaseId} and finished_at is null returning id`);
  if (held.length === 0) throw new LeaseLost();
}

/** @param stopped why, when it ends before all is done @throws LeaseLost */
export async function endRun(db: Db, run: Run, stopped?: string): Promise<Report> {
  const [report] = await db.query<Report>(sql('archive_runs.end')`
    update archive_runs set state = ${stopped === undefined ? 'finished' : 'stopped'}, stop_reason = ${stopped ?? null},
      finished_at = now(), updated_at = now()
    where id = ${run.id} and lease_id = ${run.leaseId} and finished_at is null
    returning invocations, archived, restored, purged, failed, rows`);
  if (!report) throw new LeaseLost();
  return report;
}

interface Row {
  id: string;
  lease_id: string;
  started_at: string;
  invocations: number;
  after_at: string | null;
  after_id: string | null;
}
const runOf = (row: Row): Run => ({
  id: row.id,
  leaseId: row.lease_id,
  startedAt: row.started_at,
  invocations: row.invocations,
  after: row.after_at === null || row.after_id === null ? undefined : { at: row.after_at, id: row.after_id },
});
