import type { Archive } from '../contract/archives.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { Conflict, NotFound } from '../errors.ts';
import { cancelOpen } from './cancel.ts';
import type { Progress } from './progress.ts';

/** A batch that grows while its jobs are cancelled is given up after so many rounds. */
const rounds = 5;

export interface Started {
  archiveId: string;
  state: Archive['state'];
}

/**
 * Marks a campaign as archived; from then on nothing is written below it, and `runArchive` moves its rows. Begun again,
 * it answers the same. The archive has the campaign's id.
 * @param db outside of a transaction where jobs are cancelled: sets of them commit on their own
 * @param reason which policy wants it; none: somebody asks for it
 * @param cancelOpenJobs ends what is open instead of refusing
 * @param remainingMs how long jobs may be cancelled
 * @param commit runs the mark in a transaction, with what else belongs to it; called again when jobs came in between
 * @throws NotFound; Conflict `open_jobs` with the count, `resumes_due` while executions that waited are resumed;
 *   Cancelling when the time is up
 */
export async function startArchive<Result = Started>(
  db: Db,
  tenantId: string,
  campaignId: string,
  {
    cancelOpenJobs,
    reason,
    remainingMs = () => Number.POSITIVE_INFINITY,
  }: { cancelOpenJobs: boolean; reason?: Progress['reason']; remainingMs?: () => number },
  commit: (begin: (tx: Db) => Promise<Started>) => Promise<Result> = (begin) =>
    db.transaction(begin) as Promise<Result>,
): Promise<Result> {
  const begin = (tx: Db) => mark(tx, tenantId, campaignId, reason);
  for (let round = 1; ; round++) {
    if (cancelOpenJobs) await cancelOpen(db, tenantId, campaignId, { remainingMs });
    try {
      return await commit(begin);
    } catch (error) {
      // Some came between the two: the campaign is not held while jobs are cancelled, for whoever settles one waits.
      const isOpen = error instanceof Conflict && error.code === 'open_jobs';
      if (!isOpen || !cancelOpenJobs || round === rounds) throw error;
    }
  }
}

/** Takes the campaign's key, so that a writer that came first has ended, and one that comes later sees the mark. */
async function mark(
  tx: Db,
  tenantId: string,
  campaignId: string,
  reason: Progress['reason'],
): Promise<Started> {
  const [campaign] = await tx.query<{ archived: boolean }>(sql('archive.hold')`
    select archived from campaigns
    where id = ${campaignId} and user_id = ${tenantId} and deleted_at is null for update`);
  if (!campaign) throw new NotFound('campaign', campaignId);
  const [archive] = await tx.query<Started>(sql('archive.begun')`
    select id as "archiveId", state from archived_campaigns where id = ${campaignId} and user_id = ${tenantId}`);
  if (archive) return archive;
  await checkOpen(tx, campaignId);
  const [begun] = await tx.query<Started>(sql('archive.begin')`
    insert into archived_campaigns (id, user_id, name, campaign, state, schema_version, progress)
    select id, user_id, name, to_jsonb(c), 'archiving', aim.schema_version(), ${JSON.stringify({ reason })}::jsonb from campaigns c where id = ${campaignId}
    returning id as "archiveId", state`);
  await tx.query(sql('archive.mark')`
    update campaigns set archived = true, archived_at = now(), version = version + 1, updated_at = now()
    where id = ${campaignId} and not archived`);
  return begun as Started;
}

/**
 * Reads only: whoever has locked a job or batch may wait for the campaign. Under an open batch jobs may be on their way
 * that nobody sees yet, and one whose resume is due still has an n8n execution waiting.
 */
async function checkOpen(tx: Db, campaignId: string): Promise<void> {
  const [open] = await tx.query<{ jobs: number; batches: number; due: number }>(sql('archive.open')`
    select count(*) filter (where b.status = 'open') as batches,
      count(*) filter (where b.status <> 'open' and b.resume_state = 'due') as due,
      coalesce(sum((
        select sum(n.queued + n.processing) from batch_counts n where n.batch_id = b.id
      )), 0)::bigint as jobs
    from research_batches b where b.campaign_id = ${campaignId}`);
  if (!open || open.jobs + open.batches + open.due === 0) return;
  if (open.jobs + open.batches === 0) {
    throw new Conflict(
      'resumes_due',
      `campaign ${campaignId} has ${open.due} ended batches whose waiting executions are being resumed; try again in a minute`,
    );
  }
  throw new Conflict(
    'open_jobs',
    `campaign ${campaignId} has ${open.jobs} open jobs in ${open.batches} open batches; wait for them, or cancel them`,
  );
}
