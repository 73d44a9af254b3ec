import { normaliseDomain } from '../companies/domain.ts';
import { companiesWithKeys } from '../companies/keys.ts';
import type { Db } from '../db/connect.ts';
import { sql } from '../db/sql.ts';
import { walk } from '../db/walk.ts';
import type { DeliveryQueue } from '../deliveries/queue.ts';
import { Conflict, type FieldError, NotFound } from '../errors.ts';
import { awaitEnd } from '../resumes/set.ts';
import { closeBatches, expand } from './batches.ts';
import { feed } from './feed.ts';
import type { Log, ResearchQueue } from './queue.ts';

/** Which companies to research: exactly one of `companyIds`, `domains` (≤ 1,000 each) and `all`. */
export interface EnqueueRequest {
  /** Name or id. */
  provider: string;
  kind: string;
  companyIds?: string[] | undefined;
  domains?: string[] | undefined;
  all?: true | undefined;
  /** Adds to an unsealed batch of the same campaign, provider and kind. */
  batchId?: string | undefined;
  /** Seals the batch: nothing can be added, and it ends with its last job. */
  final: boolean;
  /** ISO-8601; not before this time. Now, or that of the batch, unless given. */
  runAt?: string | undefined;
  /** 0 to 9, higher first. 0, or that of the batch, unless given. */
  priority?: number | undefined;
  /** Asked once, when the batch has ended, or `resumeWithinSeconds` from now at the latest. */
  resumeUrl?: string | undefined;
  resumeWithinSeconds?: number | undefined;
  /** Answers the same numbers and changes nothing. */
  dryRun: boolean;
}

export interface Enqueued {
  /** null after a dry run that had no batch. */
  batchId: string | null;
  status: 'open' | 'completed' | 'cancelled';
  accepted: number;
  deduplicated: number;
  rejected: FieldError[];
  /** Jobs of a batch over all companies are still being made. */
  expanding: boolean;
}

interface Batch {
  id: string;
  status: 'open' | 'completed' | 'cancelled';
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Accepts companies for research, in the caller's transaction. Afterwards, once that committed, call `kickOff`; a
 * crash in between costs a minute, until the sweep does the same.
 * @throws NotFound for an unknown campaign, provider or batch; Conflict for an archived campaign, a sealed batch, or one
 *   of another campaign, provider, kind, time or priority
 */
export function enqueue(
  db: Db,
  tenantId: string,
  campaignId: string,
  request: EnqueueRequest,
): Promise<Enqueued> {
  return db.transaction(async (tx) => {
    await checkCampaign(tx, tenantId, campaignId);
    const providerId = await findProvider(tx, tenantId, request.provider);
    const wanted = request.all ? null : await findCompanies(tx, tenantId, campaignId, request);
    const opened = request.batchId
      ? await openBatch(tx, tenantId, campaignId, providerId, request)
      : undefined;
    if (request.dryRun) return dryRun(tx, tenantId, campaignId, request, wanted);

    const batch = opened ?? (await createBatch(tx, tenantId, campaignId, providerId, request));
    if (request.resumeUrl) await awaitEnd(tx, batch.id, request.resumeUrl, request.resumeWithinSeconds);
    const all = wanted ? none : await countAll(tx, tenantId, campaignId, request.batchId);
    const accepted = wanted ? await makeJobs(tx, batch.id, wanted.companyIds) : all.accepted;
    await finishCall(tx, batch.id, { all: request.all === true, final: request.final });
    return {
      batchId: batch.id,
      status: batch.status,
      accepted,
      deduplicated: wanted ? wanted.repeated + wanted.companyIds.length - accepted : all.deduplicated,
      rejected: wanted?.rejected ?? [],
      expanding: request.all === true,
    };
  });
}

/** After the commit: makes the jobs of an `all` batch, ends an empty one, and starts the conveyor. */
export async function kickOff(
  deps: { db: Db; queue: ResearchQueue; deliveries: DeliveryQueue; log: Log },
  batchId: string,
  { budgetMs = 10_000 }: { budgetMs?: number } = {},
): Promise<void> {
  await expand(deps.db, batchId, { budgetMs });
  await closeBatches(deps, [batchId]);
  const rows = await deps.db.query<{ provider_id: string }>(sql('enqueue.provider')`
    select provider_id from research_batches where id = ${batchId}`);
  await feed(deps, { providerIds: rows.map((row) => row.provider_id) });
}

async function checkCampaign(tx: Db, tenantId: string, campaignId: string): Promise<void> {
  const [campaign] = await tx.query<{ archived: boolean }>(sql('enqueue.campaign')`
    select archived from campaigns
    where id = ${campaignId} and user_id = ${tenantId} and deleted_at is null for key share`);
  if (!campaign) throw new NotFound('campaign', campaignId);
  if (campaign.archived) {
    throw new Conflict(
      'campaign_archived',
      `campaign ${campaignId} is archived; restore it before researching it`,
    );
  }
}

async function findProvider(tx: Db, tenantId: string, nameOrId: string): Promise<string> {
  const [provider] = await tx.query<{ id: string }>(
    uuid.test(nameOrId)
      ? sql('enqueue.provider_by_id')`
          select id from research_providers where user_id = ${tenantId} and id = ${nameOrId}`
      : sql('enqueue.provider_by_name')`
          select id from research_providers where user_id = ${tenantId} and name = ${nameOrId}`,
  );
  if (!provider) throw new NotFound('provider', nameOrId);
  return provider.id;
}

interface Wanted {
  companyIds: string[];
  repeated: number;
  rejected: FieldError[];
}

async function findCompanies(
  tx: Db,
  tenantId: string,
  campaignId: string,
  request: EnqueueRequest,
): Promise<Wanted> {
  const field = request.companyIds ? 'companyIds' : 'domains';
  const rejected: FieldError[] = [];
  const keys = (request.companyIds ?? request.domains ?? []).map((given, index) => {
    if (field === 'companyIds') return given.toLowerCase();
    const normalised = normaliseDomain(given);
    if (normalised.ok && normalised.domain !== null) return normalised.domain;
    const message = normalised.ok ? 'the domain is empty' : normalised.reason;
    rejected.push({ path: `domains[${index}]`, code: 'invalid_domain', message });
    return null;
  });
  const distinct = [...new Set(keys.filter((key) => key !== null))];
  type Found = { key: string; id: string };
  const found =
    field === 'companyIds'
      ? await tx.query<Found>(sql('enqueue.companies_by_id')`
          with named as materialized (
            select id, campaign_id, user_id from companies where id = any(${distinct}::uuid[])
          )
          select id::text as key, id from named where campaign_id = ${campaignId} and user_id = ${tenantId}`)
      : await walk<Found>(
          tx,
          sql('enqueue.companies_by_domain')`
          select key, id from ${companiesWithKeys(tenantId, campaignId, distinct)} c`,
        );
  const idOf = new Map(found.map((row) => [row.key, row.id]));
  const companyIds = new Set<string>();
  let repeated = 0;
  keys.forEach((key, index) => {
    if (key === null) return;
    const id = idOf.get(key);
    if (id === undefined) {
      const message = `no such company in campaign ${campaignId}; add it first`;
      rejected.push({ path: `${field}[${index}]`, code: 'unknown_company', message });
    } else if (companyIds.has(id)) repeated++;
    else companyIds.add(id);
  });
  return { companyIds: [...companyIds], repeated, rejected };
}

async function dryRun(
  tx: Db,
  tenantId: string,
  campaignId: string,
  request: EnqueueRequest,
  wanted: Wanted | null,
): Promise<Enqueued> {
  const known =
    request.batchId && wanted ? await alreadyIn(tx, tenantId, request.batchId, wanted.companyIds) : 0;
  const all = wanted ? none : await countAll(tx, tenantId, campaignId, request.batchId);
  return {
    batchId: request.batchId ?? null,
    status: 'open',
    accepted: wanted ? wanted.companyIds.length - known : all.accepted,
    deduplicated: wanted ? wanted.repeated + known : all.deduplicated,
    rejected: wanted?.rejected ?? [],
    expanding: false,
  };
}

async function alreadyIn(tx: Db, tenantId: string, batchId: string, companyIds: string[]): Promise<number> {
  const [row] = await tx.query<{ count: number }>(sql('enqueue.already_in')`
    select count(*) from research_jobs
    where batch_id = ${batchId} and user_id = ${tenantId} and company_id = any(${companyIds}::uuid[])`);
  return row?.count ?? 0;
}

const none = { accepted: 0, deduplicated: 0 };

/**
 * All companies of a campaign up to now, as its jobs are made: those that are new to the batch, and those that an earlier call accepted, by name or with
 * all the others, their jobs made or not.
 */
async function countAll(
  tx: Db,
  tenantId: string,
  campaignId: string,
  batchId: string | undefined,
): Promise<{ accepted: number; deduplicated: number }> {
  const [all] = await tx.query<{ count: number; known: number }>(
    batchId === undefined
      ? sql('enqueue.count')`
          select count(*), 0 as known from companies
          where campaign_id = ${campaignId} and user_id = ${tenantId} and created_at <= now()`
      : sql('enqueue.count_known')`
          select count(*), count(*) filter (
              where (b.expands_all and c.created_at <= coalesce(b.expands_until, b.created_at)) or j.id is not null
            ) as known
          from research_batches b
          join companies c on c.campaign_id = ${campaignId} and c.user_id = b.user_id
          left join research_jobs j on j.batch_id = b.id and j.company_id = c.id
          where b.id = ${batchId} and b.user_id = ${tenantId} and c.created_at <= now()`,
  );
  return all ? { accepted: all.count - all.known, deduplicated: all.known } : none;
}

async function createBatch(
  tx: Db,
  tenantId: string,
  campaignId: string,
  providerId: string,
  { kind, priority, runAt }: EnqueueRequest,
): Promise<Batch> {
  const [batch] = await tx.query<Batch>(sql('enqueue.batch')`
    insert into research_batches (user_id, campaign_id, provider_id, kind, priority, run_at, deadline)
    select ${tenantId}, ${campaignId}, ${providerId}, ${kind}, ${priority ?? 0}, starts.at,
      -- A week from when its jobs may run, not from now.
      greatest(starts.at, now()) + interval '7 days'
    from (select coalesce(${runAt ?? null}::timestamptz, now()) as at) starts
    returning id, status`);
  if (!batch) throw new Error('insert returned no row');
  return batch;
}

async function openBatch(
  tx: Db,
  tenantId: string,
  campaignId: string,
  providerId: string,
  { batchId = '', kind, runAt, priority }: EnqueueRequest,
): Promise<Batch> {
  const [batch] = await tx.query<
    Batch & { sealed: boolean; same: boolean; priority: number; otherTime: boolean }
  >(sql('enqueue.open_batch')`
    select id, status, sealed_at is not null as sealed,
      campaign_id = ${campaignId} and provider_id = ${providerId} and kind = ${kind} as same,
      priority, coalesce(run_at <> ${runAt ?? null}::timestamptz, false) as "otherTime"
    from research_batches where id = ${batchId} and user_id = ${tenantId} for update`);
  if (!batch) throw new NotFound('batch', batchId);
  if (!batch.same) {
    throw new Conflict(
      'batch_mismatch',
      `batch ${batchId} is of another campaign, provider or kind; start a new one`,
    );
  }
  // Its jobs have what the batch has: to run, and be paid, before the time that was asked for would be worse than to refuse.
  const other = batch.otherTime
    ? 'runAt'
    : priority !== undefined && priority !== batch.priority
      ? 'priority'
      : undefined;
  if (other !== undefined) {
    throw new Conflict(
      'batch_mismatch',
      `batch ${batchId} was begun with another ${other}, which all of its jobs have; leave ${other} out, or start a new batch`,
    );
  }
  if (batch.sealed || batch.status !== 'open') {
    throw new Conflict('batch_sealed', `batch ${batchId} is sealed; start a new one`);
  }
  return batch;
}

/** @returns how many jobs are new in the batch */
async function makeJobs(tx: Db, batchId: string, companyIds: string[]): Promise<number> {
  const [row] = await tx.query<{ count: number }>(sql('enqueue.jobs')`
    with made as (
      insert into research_jobs (user_id, batch_id, company_id, campaign_id, provider_id, kind, priority, run_at)
      select b.user_id, b.id, wanted.id, b.campaign_id, b.provider_id, b.kind, b.priority, b.run_at
      from unnest(${companyIds}::uuid[]) with ordinality as wanted (id, place)
      join research_batches b on b.id = ${batchId}
      order by wanted.place
      on conflict (batch_id, company_id) do nothing
      returning id
    ), counted as (
      update research_batches set total = total + (select count(*) from made), updated_at = now() where id = ${batchId}
    )
    select count(*) from made`);
  return row?.count ?? 0;
}

async function finishCall(
  tx: Db,
  batchId: string,
  { all, final }: { all: boolean; final: boolean },
): Promise<void> {
  await tx.query(sql('enqueue.finish_call')`
    update research_batches
    set expands_all = expands_all or ${all},
      -- From the first company again: those that came since, and any between that an earlier call did not take in.
      expands_until = case when ${all} then now() else expands_until end,
      expanded_to_created_at = case when ${all} then null else expanded_to_created_at end,
      expanded_to_id = case when ${all} then null else expanded_to_id end,
      expanded_at = case when ${all} then null when expands_all then expanded_at else coalesce(expanded_at, now()) end,
      sealed_at = case when ${final} then now() else sealed_at end
    where id = ${batchId}`);
}
