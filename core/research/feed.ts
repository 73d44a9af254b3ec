import { randomUUID } from 'node:crypto';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { freePermits, heldUntil } from './permits.ts';
import {
  type OutgoingMessage,
  type ResearchQueue,
  type Stamps,
  stampsAttribute,
  writeStamps,
} from './queue.ts';
import { suspectsAtOnce } from './suspects.ts';

const idsPerMessage = 100;
const maxDelaySeconds = 900;
/** Jobs of one tenant on the conveyor at once: so many, and no more, may be in front of anybody else's. */
const windowPerTenant = 10_000;
const providersPerRound = 100;
/** What one statement picks, and may be waited for: a round is shared among its providers. */
const jobsPerRound = windowPerTenant;
const idsPerOutboxRow = 1_000;
const firstId = '00000000-0000-0000-0000-000000000000';

/** The stamp of job `j` as a number. */
export const microseconds = sql.fragment`(extract(epoch from j.fed_until) * 1000000)::bigint`;

interface PickedJob {
  id: string;
  user_id: string;
  provider_id: string;
  delay_seconds: number;
  crash_count: number;
  stamp: number;
}

export interface Fed {
  jobs: number;
  messages: number;
}

interface Round extends Fed {
  /** Those that had their share of the round, and may have more to do. */
  unsated: string[];
}

/**
 * Puts due jobs on the conveyor: at most a provider's free permits, or its share of its tenant's window; those due
 * within 15 minutes with a delay. Stamps `fed_until` and commits before it sends, with a row in the outbox that goes
 * once all is sent: if it stays, for a crash or a reply that got lost, the sweep takes these stamps back a minute later,
 * and a message sent twice finds its jobs claimed.
 * @param providerIds whose jobs
 * @returns how many jobs and messages went out
 */
export async function feed(
  deps: { db: Db; queue: ResearchQueue },
  { providerIds }: { providerIds: string[] },
): Promise<Fed> {
  const ids = [...new Set(providerIds)].sort();
  const sent: Round = { jobs: 0, messages: 0, unsated: [] };
  for (let from = 0; from < ids.length; from += providersPerRound)
    add(sent, await feedRound(deps, ids.slice(from, from + providersPerRound)));
  for (const id of sent.unsated) add(sent, await feedRound(deps, [id]));
  return { jobs: sent.jobs, messages: sent.messages };
}

/**
 * Feeds all providers that have jobs, as long as there is time: first all of them, a hundred in a round, and then those
 * that have more to do than their share of a round, one by one. Starts at a random one and goes round once, so that
 * whoever had no turn before time ran out is as likely as any to be the first next time.
 */
export async function feedAll(
  deps: { db: Db; queue: ResearchQueue },
  { hasTime, startAt = randomUUID() }: { hasTime: () => boolean; startAt?: string },
): Promise<Fed> {
  const sent: Round = { jobs: 0, messages: 0, unsated: [] };
  for (const [from, to] of [
    [startAt, null],
    [firstId, startAt],
  ] as const) {
    let after: string = from;
    while (hasTime()) {
      const providerIds = await providersWithJobs(deps.db, { after, to });
      const last = providerIds.at(-1);
      if (last === undefined) break;
      add(sent, await feedRound(deps, providerIds));
      after = last;
    }
  }
  for (const id of sent.unsated) {
    if (!hasTime()) break;
    add(sent, await feedRound(deps, [id]));
  }
  return { jobs: sent.jobs, messages: sent.messages };
}

function add(sum: Round, { jobs, messages, unsated }: Round): void {
  sum.jobs += jobs;
  sum.messages += messages;
  sum.unsated.push(...unsated);
}

/** @param providerIds up to a hundred; one that is alone has its whole window */
async function feedRound(
  { db, queue }: { db: Db; queue: ResearchQueue },
  providerIds: string[],
): Promise<Round> {
  const feedId = randomUUID();
  const jobsEach = Math.ceil(jobsPerRound / providerIds.length);
  const picked = await pick(db, feedId, providerIds, jobsEach);
  if (picked.length === 0) return { jobs: 0, messages: 0, unsated: [] };
  const messages = inTurn(toMessages(picked));
  const refused = await queue.send(messages).catch(async (error: unknown) => {
    await unstamp(
      db,
      picked.map((job) => job.id),
    );
    await forget(db, feedId);
    throw error;
  });
  if (refused.length > 0)
    await unstamp(
      db,
      refused.flatMap((message) => message.body.jobIds),
    );
  await forget(db, feedId);
  const jobsOf = Map.groupBy(picked, (job) => job.provider_id);
  return {
    jobs: picked.length,
    messages: messages.length - refused.length,
    unsated:
      providerIds.length === 1 ? [] : providerIds.filter((id) => (jobsOf.get(id)?.length ?? 0) >= jobsEach),
  };
}

/** Hops from one provider to the next in the index of what is not fed: its cost is theirs, not that of the backlog. */
async function providersWithJobs(
  db: Db,
  { after, to }: { after: string; to: string | null },
): Promise<string[]> {
  const rows = await db.query<{ id: string }>(sql('feed.providers')`
    with recursive hop as (
      (
        select provider_id from research_jobs
        where status = 'queued' and fed_until is null and provider_id > ${after}
        order by provider_id limit 1
      )
      union all
      select (
        select j.provider_id from research_jobs j
        where j.status = 'queued' and j.fed_until is null and j.provider_id > hop.provider_id
        order by j.provider_id limit 1
      )
      from hop where hop.provider_id is not null
    )
    select provider_id as id from hop
    where provider_id is not null and (${to}::uuid is null or provider_id <= ${to}::uuid)
    limit ${providersPerRound}`);
  return rows.map((row) => row.id);
}

function pick(db: Db, feedId: string, providerIds: string[], jobsEach: number): Promise<PickedJob[]> {
  return db.transaction(async (tx) => {
    // Lock in one statement, count in the next: a statement that waited for a lock counts in its old snapshot.
    await tx.query(sql('feed.lock')`
      select id from research_providers where id = any(${providerIds}::uuid[]) order by id for no key update`);
    return tx.query<PickedJob>(sql('feed.pick')`
      with asked as (
        select p.id, p.user_id, p.weight, p.circuit, p.concurrency, p.batch_size, p.probe_until, p.quota_asks,
          p.quota_until, pace.rate, opens.at as opens_at
        from research_providers p
        cross join lateral (select least(p.adapted_rate, p.rate_per_second) as rate) pace
        cross join lateral (
          -- A limited rate has its next permit then. What is fed to be there before comes back, and is fed again.
          select greatest(now(), ${heldUntil}, p.permits_at + make_interval(secs => (1 - p.permits) / pace.rate)) as at
        ) opens
        where p.id = any(${providerIds}::uuid[]) and opens.at <= now() + interval '15 minutes'
      ), busy as materialized (
        -- Those of their tenants' providers that have something to do: two looks into an index each, told to the
        -- planner as such, for where it expects many jobs it would rather read them all.
        select p.id, p.user_id, p.weight from research_providers p
        where p.user_id in (select user_id from asked)
          and p.circuit = 'closed' and coalesce(${heldUntil}, now()) <= now()
          and (
            (select true from research_jobs j where j.provider_id = p.id and j.fed_until > now()
              order by j.fed_until limit 1)
            or (select true from research_jobs j
              where j.provider_id = p.id and j.status = 'queued' and j.fed_until is null
              order by j.priority limit 1)
          )
      ), share as (
        -- The window is shared among them, by weight.
        select asked.id, sum(busy.weight) filter (where busy.id <> asked.id) as of_others
        from asked left join busy on busy.user_id = asked.user_id group by asked.id
      ), provider as materialized (
        select p.id, p.rate, p.opens_at, fed.soon as fed, fed.later,
          -- An open circuit wants one job, to see whether the provider works again.
          case when p.circuit = 'closed' then least(
            ceil(${windowPerTenant}::numeric * p.weight / (p.weight + coalesce(share.of_others, 0)))::bigint,
            ceil(p.rate * 60)::bigint,
            case when p.quota_until > p.opens_at then p.quota_asks * p.batch_size end,
            ${freePermits}
          ) when p.probe_until > now() then 0 else 1 end - fed.soon as room
        from asked p
        join share on share.id = p.id
        cross join lateral (
          -- Stamps last 15 minutes longer than the delay. What is due within a minute, from now or from the end of a
          -- pause, takes the room of what is fed now; what is due later does not.
          select count(*) filter (where j.fed_until <= p.opens_at + interval '16 minutes') as soon,
            count(*) filter (where j.fed_until > p.opens_at + interval '16 minutes') as later
          from research_jobs j where j.provider_id = p.id and j.fed_until > now()
        ) fed
      ), picked as (
        select j.id, j.user_id, j.crash_count,
          greatest(
            j.run_at,
            -- A limited rate is paced by the queue's own delay instead of by messages that come back.
            p.opens_at + make_interval(secs =>
              coalesce((p.fed + row_number() over (partition by p.id order by j.priority desc, j.run_at) - 1) / p.rate, 0))
          ) as due_at
        from provider p
        cross join lateral (
          select due.id, due.user_id, due.run_at, due.priority, due.crash_count
          from generate_series(0, 9) as level
          cross join lateral (
            select id, user_id, run_at, priority, crash_count from research_jobs
            where provider_id = p.id and status = 'queued' and fed_until is null
              and priority = 9 - level
              and run_at <= case when p.later < p.room then now() + interval '15 minutes'
                else least(now() + interval '15 minutes', p.opens_at + interval '1 minute') end
            order by run_at, id
            limit greatest(least(p.room, ${jobsEach}::int), 0)
            for update skip locked
          ) due
          order by due.priority desc, due.run_at, due.id
          limit greatest(least(p.room, ${jobsEach}::int), 0)
        ) j
      ), outbox as (
        insert into research_outbox (feed_id, user_id, part, job_ids)
        select ${feedId}::uuid, user_id, part, array_agg(id)
        from (
          select id, user_id, (row_number() over (partition by user_id) - 1) / ${idsPerOutboxRow}::int as part from picked
        ) parts
        group by user_id, part
      )
      update research_jobs j
      set fed_until = picked.due_at + interval '15 minutes'
      from picked
      where j.id = picked.id
      returning j.id, j.user_id, j.provider_id, j.crash_count, ${microseconds} as stamp,
        least(${maxDelaySeconds}, greatest(0, ceil(extract(epoch from picked.due_at - now()))))::int as delay_seconds`);
  });
}

/** Up to 100 ids a message, of one tenant and one delay; suspects travel with no more than may run with them. */
function toMessages(jobs: PickedJob[]): OutgoingMessage[] {
  const groups = new Map<string, PickedJob[]>();
  for (const job of jobs) {
    const key = `${job.user_id} ${job.delay_seconds} ${job.crash_count}`;
    const group = groups.get(key);
    if (group) group.push(job);
    else groups.set(key, [job]);
  }
  const messages: OutgoingMessage[] = [];
  for (const group of groups.values()) {
    const size = Math.min(idsPerMessage, suspectsAtOnce(group[0]?.crash_count ?? 0));
    for (let from = 0; from < group.length; from += size) {
      const part = group.slice(from, from + size);
      const [first] = part;
      if (!first) continue;
      messages.push({
        body: { v: 1, jobIds: part.map((job) => job.id) },
        attributes: { [stampsAttribute]: writeStamps(stampsOf(part)) },
        delaySeconds: first.delay_seconds,
        groupId: first.user_id,
      });
    }
  }
  return messages;
}

function stampsOf(jobs: PickedJob[]): Stamps {
  const stamps = jobs.map((job) => job.stamp);
  return { first: Math.min(...stamps), last: Math.max(...stamps) };
}

/** One message of each tenant, then the second of each: a queue that keeps its order serves them in turn. */
function inTurn(messages: OutgoingMessage[]): OutgoingMessage[] {
  const turns = new Map<string, number>();
  const placed = messages.map((message) => {
    const turn = turns.get(message.groupId) ?? 0;
    turns.set(message.groupId, turn + 1);
    return { message, turn };
  });
  return placed.sort((a, b) => a.turn - b.turn).map(({ message }) => message);
}

/**
 * Takes jobs off the conveyor that are on it, due as before. Found by their ids alone: where statistics know of none
 * that is fed, the planner would rather look through the index of all that are.
 */
export async function unstamp(db: Db, jobIds: string[]): Promise<void> {
  await db.query(sql('feed.unstamp')`
    with waiting as (
      select id, fed_until from research_jobs
      where id = any(${jobIds}::uuid[]) and status = 'queued'
      order by id for update
    )
    update research_jobs j set fed_until = null from waiting
    where j.id = waiting.id and waiting.fed_until is not null`);
}

/** All of it is on the queue, or off the conveyor again. */
async function forget(db: Db, feedId: string): Promise<void> {
  await db.query(sql('feed.forget')`delete from research_outbox where feed_id = ${feedId}`);
}
