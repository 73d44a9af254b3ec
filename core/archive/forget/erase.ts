import type { Erasure, ErasureQuery } from '../../contract/archives.ts';
import type { Page } from '../../contract/page.ts';
import { DatabaseUnavailable, type Db } from '../../db/connect.ts';
import { columnsOf, type ListShape, readPage } from '../../db/keyset.ts';
import { isLockTrouble } from '../../db/locks.ts';
import { ofTenant } from '../../db/scope.ts';
import { created, utc } from '../../db/sorts.ts';
import { sql } from '../../db/sql.ts';
import { isArchived, NotFound } from '../../errors.ts';
import { type ArchiveDeps, finish } from '../work.ts';
import { archiveWalks } from './archives.ts';
import { liveWalks, type Position, type Walk } from './live.ts';
import { personOf } from './person.ts';

/**
 * Live rows first, archives then. Where rows were moved between the two meanwhile, another pass finds them. Contacts come
 * twice, for prospects may be made contacts before their own walk: whoever does that shares a lock on the prospect until
 * he commits, so that its walk waits for him, and who comes later finds the prospect gone. A place is kept as a number:
 * what is new stands at the end.
 */
const walks: [string, Walk][] = [
  ...Object.entries({ ...liveWalks, ...archiveWalks }),
  ...Object.entries(liveWalks).filter(([table]) => table === 'contacts'),
];
const maxPasses = 10;

const shape: ListShape = {
  name: 'erasures',
  table: sql.fragment`erasures`,
  columns: {
    id: sql.fragment`id`,
    state: sql.fragment`case when finished_at is null then 'running' else 'done' end`,
    counts: sql.fragment`counts`,
    createdAt: utc(sql.fragment`created_at`),
    finishedAt: utc(sql.fragment`finished_at`),
  },
  sorts: { created },
};
const columns = columnsOf(shape);

/** What was forgotten, newest first; whom it does not say. */
export function listErasures(
  { db }: { db: Db },
  tenantId: string,
  { limit, cursor }: ErasureQuery,
): Promise<Page<Erasure>> {
  return readPage(db, shape, { limit, cursor, order: 'desc' }, { filter: {}, scope: ofTenant(tenantId) });
}

/**
 * Writes down that a person is to be forgotten, by a salted hash. Asked again while that is under way, it is the same
 * erasure; asked again later, a new one, for the address may have come back since.
 */
export async function startErasure({ db }: { db: Db }, tenantId: string, email: string): Promise<Erasure> {
  const hash = sql.fragment`aim.email_hash(${tenantId}::uuid, ${email})`;
  const [begun] = await db.query<Erasure>(sql('erasures.start')`
    insert into erasures (user_id, email_hash) values (${tenantId}, ${hash})
    on conflict (user_id, email_hash) where finished_at is null do nothing returning ${columns}`);
  if (begun) return begun;
  const [open] = await db.query<Erasure>(sql('erasures.open')`
    select ${columns} from erasures
    where user_id = ${tenantId} and email_hash = ${hash} order by created_at desc, id desc limit 1`);
  if (!open) throw new NotFound('erasure', 'of this address');
  return open;
}

/** @throws NotFound */
export async function getErasure({ db }: { db: Db }, tenantId: string, id: string): Promise<Erasure> {
  const [erasure] = await db.query<Erasure>(sql('erasures.get')`
    select ${columns} from erasures where id = ${id} and user_id = ${tenantId}`);
  if (!erasure) throw new NotFound('erasure', id);
  return erasure;
}

interface State {
  tenantId: string;
  pass: number;
  step: number;
  position: Position | null;
  begun: boolean;
}

/**
 * Forgets a person in everything that a tenant has, in bounded transactions, each of which also keeps how far it is.
 * Begun again, it goes on there; two at once do the same work, and neither does harm. The address travels with the call
 * and is written nowhere; it must be the one that the erasure was asked for.
 * @returns whether all is done, and how many steps and rows it was
 */
export async function runErasure(
  deps: ArchiveDeps,
  { erasureId, tenantId, email }: { erasureId: string; tenantId: string; email: string },
  { remainingMs }: { remainingMs: () => number },
): Promise<{ done: boolean; rows: number; moved: number }> {
  const { db, log } = deps;
  const person = personOf(tenantId, email);
  let rows = 0;
  let moved = 0;
  const end = (done: boolean) => ({ done, rows, moved });
  const stuck = new Set<string>();
  while (remainingMs() > 5_000) {
    try {
      const state = await stateOf(db, erasureId, person.tenantId, person.email);
      if (!state) return end(true);
      if (!state.begun) {
        if (!(await beginPass(deps, erasureId, state, { remainingMs, stuck }))) await deps.sleep(500);
        continue;
      }
      const walk = walks[state.step];
      if (!walk) {
        const isWhole = await finishPass(db, erasureId, state);
        if (isWhole) log.info('erasure.done', { erasureId, tenantId, passes: state.pass });
        if (isWhole) return end(true);
        // All else is done, and another call at once would find the same.
        if (stuck.size > 0) return { done: false, rows, moved: 0 };
        if (state.pass % maxPasses === 0) {
          log.warn('erasure.unsettled', { erasureId, tenantId, passes: state.pass });
          return end(false);
        }
        moved++;
        continue;
      }
      rows += await takeStep(db, erasureId, state, walk, person);
      moved++;
    } catch (error) {
      // A campaign that is archived meanwhile is left out of the next look, and its archive is walked for itself.
      if (!isLockTrouble(error) && !isArchived(error)) throw error;
      await deps.sleep(200);
    }
  }
  return end(false);
}

async function stateOf(db: Db, id: string, tenantId: string, email: string): Promise<State | undefined> {
  const [state] = await db.query<State>(sql('erasures.state')`
    select user_id as "tenantId", pass, step, position, pass_snapshot is not null as begun
    from erasures
    where id = ${id} and user_id = ${tenantId} and finished_at is null
      and email_hash = aim.email_hash(user_id, ${email})`);
  return state;
}

/**
 * Archives and restores under way are brought to their end first: rows must not move while they are looked for. One that
 * cannot be is `stuck`: it keeps the erasure from its end, and not from what is elsewhere.
 */
async function beginPass(
  deps: ArchiveDeps,
  id: string,
  { tenantId, pass }: State,
  { remainingMs, stuck }: { remainingMs: () => number; stuck: Set<string> },
): Promise<boolean> {
  const { db, log } = deps;
  const [mark] = await db.query<{ snapshot: string }>(sql('erasures.mark')`
    select pg_current_snapshot()::text as snapshot`);
  // Looked at after the mark: what begins from here on is seen at the end of the pass.
  const open = await unfinishedOf(db, tenantId);
  for (const { id: archiveId, state } of open) {
    const action = state === 'archiving' ? 'archive' : 'restore';
    try {
      await finish(deps, archiveId, action, { remainingMs: () => Math.max(0, remainingMs() - 5_000) });
      stuck.delete(archiveId);
    } catch (error) {
      if (error instanceof DatabaseUnavailable || isLockTrouble(error)) throw error;
      const { code } = error as { code?: string };
      stuck.add(archiveId);
      log.warn('erasure.archive_stuck', {
        erasureId: id,
        tenantId,
        archiveId,
        action,
        code: code ?? 'internal',
      });
    }
  }
  const left = open.length === 0 ? [] : (await unfinishedOf(db, tenantId)).map((one) => one.id);
  for (const one of stuck) if (!left.includes(one)) stuck.delete(one);
  if (left.some((one) => !stuck.has(one))) return false;
  if (open.length > stuck.size) return true;
  await db.query(sql('erasures.begin_pass')`
    update erasures set pass_snapshot = ${mark?.snapshot}::pg_snapshot, updated_at = now()
    where id = ${id} and pass = ${pass} and pass_snapshot is null and finished_at is null`);
  return true;
}

function unfinishedOf(db: Db, tenantId: string): Promise<{ id: string; state: string }[]> {
  return db.query(sql('erasures.unfinished')`
    select id, state from archived_campaigns
    where user_id = ${tenantId} and state <> 'archived' and purging_at is null order by created_at, id limit 100`);
}

async function takeStep(
  db: Db,
  id: string,
  { step, pass, position }: State,
  [name, walk]: [string, Walk],
  person: ReturnType<typeof personOf>,
): Promise<number> {
  return db.transaction(async (tx) => {
    await tx.query(sql('erasures.patience')`select set_config('lock_timeout', '500ms', true)`);
    const { changed, next } = await walk(tx, person, position ?? undefined);
    // Where another is at it too, this step was his, and what it changed is taken back.
    const held = await tx.query(sql('erasures.step')`
      update erasures set step = ${next ? step : step + 1}, position = ${next ? JSON.stringify(next) : null}::jsonb,
        counts = case when ${changed}::int = 0 then counts
          else jsonb_set(counts, array[${name}::text], to_jsonb(coalesce((counts ->> ${name})::bigint, 0) + ${changed}::int)) end,
        updated_at = now()
      where id = ${id} and pass = ${pass} and step = ${step} and finished_at is null
        and position is not distinct from ${position ? JSON.stringify(position) : null}::jsonb returning id`);
    if (held.length === 0) throw Object.assign(new Error('another took this step'), { code: '40P01' });
    return changed;
  });
}

/** Ends the erasure, unless a campaign was archived or restored while the pass went on; then another begins. */
async function finishPass(db: Db, id: string, state: State): Promise<boolean> {
  const [ended] = await db.query<{ done: boolean }>(sql('erasures.end')`
    with moved as materialized (
      select exists (
        select from archived_campaigns a
        where a.user_id = ${state.tenantId} and a.purging_at is null and a.state <> 'archived'
      ) or exists (
        select from changes c
        where c.user_id = ${state.tenantId} and c.entity = 'campaign' and c.op in ('archive', 'restore')
          and c.xid >= pg_snapshot_xmin(e.pass_snapshot) and not pg_visible_in_snapshot(c.xid, e.pass_snapshot)
      ) as now
      from erasures e where e.id = ${id}
    )
    update erasures set finished_at = case when not moved.now then now() end,
      pass = case when moved.now then pass + 1 else pass end, pass_snapshot = case when not moved.now then pass_snapshot end,
      step = case when moved.now then 0 else step end, position = null, updated_at = now()
    from moved where id = ${id} and pass = ${state.pass} and step = ${state.step} and finished_at is null
    returning finished_at is not null as done`);
  return ended?.done ?? false;
}
