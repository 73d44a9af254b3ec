import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import type { OutgoingMessage, ResearchQueue } from './queue.ts';

const idsPerMessage = 100;
const maxDelaySeconds = 900;
/** Jobs of one provider on the conveyor at once, when the provider itself sets no limit. */
const windowPerProvider = 10_000;
const providersPerRound = 100;

interface PickedJob {
  id: string;
  user_id: string;
  delay_seconds: number;
  alone: boolean;
}

/**
 * Puts due jobs on the conveyor: at most a provider's free permits (its window when it has no limit), those due within
 * 15 minutes with a delay. Stamps `fed_until` and commits before it sends: a crash in between only means that the
 * sweep takes the stamp back later, and a message sent twice finds its jobs claimed.
 * @param providerIds whose jobs; all providers that have due jobs when absent
 * @returns how many jobs and messages went out
 */
export async function feed(
  { db, queue }: { db: Db; queue: ResearchQueue },
  { providerIds }: { providerIds?: string[] } = {},
): Promise<{ jobs: number; messages: number }> {
  const ids = [...new Set(providerIds ?? (await providersWithDueJobs(db)))].sort();
  const sent = { jobs: 0, messages: 0 };
  for (let from = 0; from < ids.length; from += providersPerRound) {
    const picked = await pick(db, ids.slice(from, from + providersPerRound));
    const messages = toMessages(picked);
    const refused = await queue.send(messages).catch(async (error: unknown) => {
      // The stamps would keep these jobs off the conveyor for a quarter of an hour.
      await unstamp(
        db,
        picked.map((job) => job.id),
      );
      throw error;
    });
    if (refused.length > 0)
      await unstamp(
        db,
        refused.flatMap((message) => message.body.jobIds),
      );
    sent.jobs += picked.length;
    sent.messages += messages.length - refused.length;
  }
  return sent;
}

async function providersWithDueJobs(db: Db): Promise<string[]> {
  const rows = await db.query<{ id: string }>(sql('feed.providers')`
    select p.id from research_providers p
    where exists (
      select from research_jobs j
      where j.provider_id = p.id and j.status = 'queued' and j.fed_until is null
        and j.run_at <= now() + interval '15 minutes'
    )`);
  return rows.map((row) => row.id);
}

function pick(db: Db, providerIds: string[]): Promise<PickedJob[]> {
  return db.transaction(async (tx) => {
    // Lock in one statement, count in the next: a statement that waited for a lock counts in its old snapshot.
    await tx.query(sql('feed.lock')`
      select id from research_providers where id = any(${providerIds}::uuid[]) order by id for no key update`);
    return tx.query<PickedJob>(sql('feed.pick')`
      with provider as (
        select p.id, p.rate_per_second,
          greatest(coalesce(p.paused_until, now()), now()) as opens_at,
          fed.count as fed,
          least(
            ${windowPerProvider}::bigint,
            ceil(p.rate_per_second * 60)::bigint,
            p.concurrency - (
              select count(*) from research_jobs j where j.provider_id = p.id and j.status = 'processing'
            )
          ) - fed.count as room
        from research_providers p
        cross join lateral (
          select count(*) from research_jobs j where j.provider_id = p.id and j.fed_until > now()
        ) fed
        where p.id = any(${providerIds}::uuid[])
          and (p.paused_until is null or p.paused_until <= now() + interval '15 minutes')
      ), picked as (
        select j.id, j.user_id, j.crash_count > 0 as alone,
          greatest(
            j.run_at,
            -- A limited rate is paced by the queue's own delay instead of by messages that come back.
            p.opens_at + make_interval(secs =>
              coalesce((p.fed + row_number() over (partition by p.id order by j.priority desc, j.run_at) - 1) / p.rate_per_second, 0))
          ) as due_at
        from provider p
        cross join lateral (
          select due.id, due.user_id, due.run_at, due.priority, due.crash_count
          from generate_series(0, 9) as level
          cross join lateral (
            select id, user_id, run_at, priority, crash_count from research_jobs
            where provider_id = p.id and status = 'queued' and fed_until is null
              and priority = 9 - level and run_at <= now() + interval '15 minutes'
            order by run_at, id
            limit greatest(p.room, 0)
            for update skip locked
          ) due
          order by due.priority desc, due.run_at, due.id
          limit greatest(p.room, 0)
        ) j
      )
      update research_jobs j
      set fed_until = picked.due_at + interval '15 minutes'
      from picked
      where j.id = picked.id
      returning j.id, j.user_id, picked.alone,
        least(${maxDelaySeconds}, greatest(0, ceil(extract(epoch from picked.due_at - now()))))::int as delay_seconds`);
  });
}

/** Up to 100 ids a message, of one tenant and one delay; a job whose last attempt crashed travels alone. */
function toMessages(jobs: PickedJob[]): OutgoingMessage[] {
  const groups = new Map<string, PickedJob[]>();
  for (const job of jobs) {
    const key = job.alone ? job.id : `${job.user_id} ${job.delay_seconds}`;
    const group = groups.get(key);
    if (group) group.push(job);
    else groups.set(key, [job]);
  }
  const messages: OutgoingMessage[] = [];
  for (const group of groups.values()) {
    for (let from = 0; from < group.length; from += idsPerMessage) {
      const part = group.slice(from, from + idsPerMessage);
      const [first] = part;
      if (!first) continue;
      messages.push({
        body: { v: 1, jobIds: part.map((job) => job.id) },
        delaySeconds: first.delay_seconds,
        groupId: first.user_id,
      });
    }
  }
  return messages;
}

async function unstamp(db: Db, jobIds: string[]): Promise<void> {
  await db.query(sql('feed.unstamp')`
    update research_jobs set fed_until = null
    where id = any(${jobIds}::uuid[]) and status = 'queued' and fed_until is not null`);
}
