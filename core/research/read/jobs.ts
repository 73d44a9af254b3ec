import type { Job, JobQuery } from '../../contract/batches.ts';
import type { Page } from '../../contract/page.ts';
import type { Db } from '../../db/connect.ts';
import { readPage, utc } from '../../db/keyset.ts';
import { sql } from '../../db/sql.ts';
import { NotFound } from '../../errors.ts';

const columns = sql.fragment`j.id, j.batch_id as "batchId", j.company_id as "companyId",
  jsonb_build_object('name', c.name, 'domain', c.domain) as company, j.provider_id as "providerId", j.kind, j.status,
  j.retry_count as "retryCount", j.error_code as "errorCode", j.error_message as "errorMessage",
  ${utc(sql.fragment`j.run_at`)} as "runAt", ${utc(sql.fragment`j.lease_until`)} as "leaseUntil",
  ${utc(sql.fragment`j.created_at`)} as "createdAt", ${utc(sql.fragment`j.updated_at`)} as "updatedAt",
  ${utc(sql.fragment`j.finished_at`)} as "finishedAt"`;

/**
 * One page of a batch's jobs, in the order of their companies: that is unique within a batch and stays as it is,
 * while many jobs are made at the same microsecond. @throws NotFound for an unknown batch
 */
export async function listJobs(deps: { db: Db }, tenantId: string, query: JobQuery): Promise<Page<Job>> {
  const { batchId, status, ...page } = query;
  const withStatus = status === undefined ? sql.empty : sql.fragment`and j.status = ${status}`;
  const jobs = await readPage(
    'jobs',
    { batchId, status },
    page,
    ({ position }) => {
      const after =
        position === undefined
          ? sql.empty
          : page.order === 'asc'
            ? sql.fragment`and j.company_id > ${position.id}::uuid`
            : sql.fragment`and j.company_id < ${position.id}::uuid`;
      const direction = page.order === 'asc' ? sql.fragment`asc` : sql.fragment`desc`;
      return deps.db.query<Job>(sql('jobs.page')`
        select ${columns} from research_jobs j join companies c on c.id = j.company_id
        where j.batch_id = ${batchId} and j.user_id = ${tenantId} ${withStatus} ${after}
        order by j.company_id ${direction} limit ${page.limit + 1}`);
    },
    (job) => ({ createdAt: job.createdAt, id: job.companyId }),
  );
  if (jobs.data.length === 0) await checkBatch(deps.db, tenantId, batchId);
  return jobs;
}

/** @throws NotFound */
export async function getJob({ db }: { db: Db }, tenantId: string, id: string): Promise<Job> {
  const [job] = await db.query<Job>(sql('jobs.get')`
    select ${columns} from research_jobs j join companies c on c.id = j.company_id
    where j.id = ${id} and j.user_id = ${tenantId}`);
  if (!job) throw new NotFound('job', id);
  return job;
}

async function checkBatch(db: Db, tenantId: string, id: string): Promise<void> {
  const rows = await db.query(sql('batches.exists')`
    select id from research_batches where id = ${id} and user_id = ${tenantId}`);
  if (rows.length === 0) throw new NotFound('batch', id);
}
