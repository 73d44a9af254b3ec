import type { Job, JobQuery } from '../../contract/batches.ts';
import type { Page } from '../../contract/page.ts';
import type { Db } from '../../db/connect.ts';
import { columnsOf, type ListShape, readPage } from '../../db/keyset.ts';
import { checkParent, ofBatch } from '../../db/scope.ts';
import { company, utc } from '../../db/sorts.ts';
import { sql } from '../../db/sql.ts';
import { NotFound } from '../../errors.ts';

const shape: ListShape = {
  name: 'jobs',
  table: sql.fragment`research_jobs`,
  columns: {
    id: sql.fragment`id`,
    batchId: sql.fragment`batch_id`,
    companyId: sql.fragment`company_id`,
    company: sql.fragment`(
      select jsonb_build_object('name', c.name, 'domain', c.domain) from companies c where c.id = company_id)`,
    providerId: sql.fragment`provider_id`,
    kind: sql.fragment`kind`,
    status: sql.fragment`status`,
    retryCount: sql.fragment`retry_count`,
    errorCode: sql.fragment`error_code`,
    errorMessage: sql.fragment`error_message`,
    runAt: utc(sql.fragment`run_at`),
    leaseUntil: utc(sql.fragment`lease_until`),
    createdAt: utc(sql.fragment`created_at`),
    updatedAt: utc(sql.fragment`updated_at`),
    finishedAt: utc(sql.fragment`finished_at`),
  },
  sorts: { company },
};

/**
 * One page of a batch's jobs, in the order of their companies: that is unique within a batch and stays as it is,
 * while many jobs are made at the same microsecond. @throws NotFound for an unknown batch
 */
export async function listJobs(deps: { db: Db }, tenantId: string, query: JobQuery): Promise<Page<Job>> {
  const { batchId, status, ...page } = query;
  const withStatus = status === undefined ? sql.empty : sql.fragment`and status = ${status}`;
  const jobs = await readPage<Job>(deps.db, shape, page, {
    filter: { batchId, status },
    scope: sql.fragment`${ofBatch(tenantId, batchId)} ${withStatus}`,
  });
  if (jobs.next === null) await checkParent(deps.db, tenantId, 'batch', batchId);
  return jobs;
}

/** @throws NotFound */
export async function getJob({ db }: { db: Db }, tenantId: string, id: string): Promise<Job> {
  const [job] = await db.query<Job>(sql('jobs.get')`
    select ${columnsOf(shape)} from research_jobs where id = ${id} and user_id = ${tenantId}`);
  if (!job) throw new NotFound('job', id);
  return job;
}
