import { z } from 'zod';
import { fieldsField, pageFields, pageOf, sortField } from './page.ts';
import { Kind } from './research.ts';
import { Id, Time } from './text.ts';

const count = z.int().min(0);

export const Batch = z
  .strictObject({
    id: Id,
    campaignId: Id,
    providerId: Id,
    kind: Kind,
    status: z.enum(['open', 'completed', 'cancelled']),
    total: count,
    expanded: z.boolean().meta({ description: 'All its jobs are made.' }),
    sealed: z.boolean().meta({ description: 'Nothing can be added; it ends with its last job.' }),
    counts: z.strictObject({
      queued: count,
      processing: count,
      completed: count,
      failed: count,
      cancelled: count,
    }),
    retries: count,
    resume: z
      .strictObject({
        state: z.enum(['waiting', 'due', 'done', 'failed']),
        attempts: count,
        lastError: z.string().nullable(),
      })
      .nullable()
      .meta({ description: 'Whether who waits for its end was resumed; null when nobody does.' }),
    deadline: Time,
    createdAt: Time,
    finishedAt: Time.nullable(),
  })
  .meta({ id: 'Batch' });
export type Batch = z.infer<typeof Batch>;

const BatchStatus = z.enum(['open', 'completed', 'cancelled']);

export const BatchQuery = z.strictObject({
  ...pageFields,
  sort: sortField(['created']),
  campaignId: Id.optional(),
  status: BatchStatus.optional(),
});
export type BatchQuery = z.infer<typeof BatchQuery>;
export const BatchPage = pageOf(Batch).meta({ id: 'BatchPage' });

export const JobStatus = z.enum(['queued', 'processing', 'completed', 'failed', 'cancelled']);

export const Job = z
  .strictObject({
    id: Id,
    batchId: Id,
    companyId: Id,
    company: z.strictObject({ name: z.string(), domain: z.string().nullable() }),
    providerId: Id,
    kind: Kind,
    status: JobStatus,
    retryCount: count,
    errorCode: z.string().nullable(),
    errorMessage: z.string().nullable(),
    runAt: Time,
    leaseUntil: Time.nullable(),
    createdAt: Time,
    updatedAt: Time,
    finishedAt: Time.nullable(),
  })
  .meta({ id: 'Job' });
export type Job = z.infer<typeof Job>;

export const JobQuery = z.strictObject({
  ...pageFields,
  fields: fieldsField(Job),
  batchId: Id,
  status: JobStatus.optional(),
});
export type JobQuery = z.infer<typeof JobQuery>;
export const JobPage = pageOf(Job).meta({ id: 'JobPage' });
