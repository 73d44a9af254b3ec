import { checkCampaign } from '../../campaigns/get.ts';
import type { Batch, BatchQuery } from '../../contract/batches.ts';
import type { Page } from '../../contract/page.ts';
import { check } from '../../db/checks.ts';
import type { Db } from '../../db/connect.ts';
import { columnsOf, type ListShape, readPage } from '../../db/keyset.ts';
import { ofCampaign, scopeOf } from '../../db/scope.ts';
import { created, utc } from '../../db/sorts.ts';
import { sql } from '../../db/sql.ts';
import { NotFound } from '../../errors.ts';
import { countJobs } from '../counts.ts';

type BatchRow = Omit<Batch, 'counts' | 'retries'>;

const shape: ListShape = {
  name: 'batches',
  table: sql.fragment`research_batches`,
  columns: {
    id: sql.fragment`id`,
    campaignId: sql.fragment`campaign_id`,
    providerId: sql.fragment`provider_id`,
    kind: sql.fragment`kind`,
    status: sql.fragment`status`,
    total: sql.fragment`total`,
    expanded: sql.fragment`expanded_at is not null`,
    sealed: sql.fragment`sealed_at is not null`,
    resume: sql.fragment`case when resume_state <> 'none' then jsonb_build_object(
      'state', resume_state, 'attempts', resume_attempts, 'lastError', resume_error) end`,
    deadline: utc(sql.fragment`deadline`),
    createdAt: utc(sql.fragment`created_at`),
    finishedAt: utc(sql.fragment`finished_at`),
  },
  sorts: { created },
};

/** One page of batches with their counts, of one campaign or of all. @throws NotFound for an unknown campaign */
export async function listBatches(
  deps: { db: Db },
  tenantId: string,
  query: BatchQuery,
): Promise<Page<Batch>> {
  const { campaignId, status, ...page } = query;
  const rows = await readPage<BatchRow>(deps.db, shape, page, {
    filter: { campaignId, status },
    scope: scopeOf(tenantId, campaignId === undefined ? undefined : ofCampaign(tenantId, campaignId)),
    checks: check(status, (of) => sql.fragment`status = ${of}`),
  });
  if (rows.next === null && campaignId !== undefined) await checkCampaign(deps, tenantId, campaignId);
  return { ...rows, data: await count(deps.db, rows.data) };
}

/** @throws NotFound */
export async function getBatch({ db }: { db: Db }, tenantId: string, id: string): Promise<Batch> {
  const rows = await db.query<BatchRow>(sql('batches.get')`
    select ${columnsOf(shape)} from research_batches where id = ${id} and user_id = ${tenantId}`);
  const [batch] = await count(db, rows);
  if (!batch) throw new NotFound('batch', id);
  return batch;
}

/** One statement for the counts of all batches of a page. */
async function count(db: Db, rows: BatchRow[]): Promise<Batch[]> {
  const countsOf = await countJobs(
    db,
    rows.map((row) => row.id),
  );
  return rows.map((row) => {
    const found = countsOf.get(row.id);
    const { queued = 0, processing = 0, completed = 0, failed = 0, cancelled = 0, retries = 0 } = found ?? {};
    const { deadline, createdAt, finishedAt, ...head } = row;
    const counts = { queued, processing, completed, failed, cancelled };
    return { ...head, counts, retries, deadline, createdAt, finishedAt };
  });
}
