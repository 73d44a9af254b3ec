import { z } from 'zod';
import { Company } from './companies.ts';
import { Contact } from './contacts.ts';
import { pageOf } from './page.ts';
import { Prospect } from './research.ts';
import { Id, Time, text, Version } from './text.ts';

export const ArchiveRequest = z
  .strictObject({
    cancelOpenJobs: z.boolean().default(false).meta({
      description:
        'Without it a campaign with open jobs is refused with 409 `open_jobs`. While executions that waited for it are resumed: 409 `resumes_due`.',
    }),
  })
  .meta({ id: 'ArchiveRequest' });
export type ArchiveRequest = z.infer<typeof ArchiveRequest>;
export const RestoreRequest = z.strictObject({}).meta({ id: 'RestoreRequest' });

const Rows = z.int().min(0);
export const Archive = z
  .strictObject({
    id: Id.meta({ description: 'Of the campaign.' }),
    name: z.string(),
    state: z.enum(['archiving', 'archived', 'restoring']),
    rowsMoved: Rows.meta({ description: 'Into the archive or, while restoring, out of it.' }),
    rowsTotal: Rows.nullable().meta({ description: 'null while it is not known yet.' }),
    rowsPerSecond: z.number().min(0).nullable().meta({
      description: 'null while nothing moves, `secondsLeft` too.',
    }),
    secondsLeft: z.number().min(0).nullable(),
    totals: z.record(z.string(), Rows).nullable().meta({
      description: 'What it holds, by kind of row; null until it is whole.',
    }),
    archivedAt: Time.nullable(),
    createdAt: Time,
    updatedAt: Time,
  })
  .meta({ id: 'Archive' });
export type Archive = z.infer<typeof Archive>;

const limit = z.coerce
  .number()
  .int()
  .min(1)
  .max(5000)
  .default(100)
  .meta({ description: 'Rows a page at most.' });
const cursor = z.string().min(1).max(1000).optional().meta({ description: 'The `next` of the page before.' });

export const ArchiveQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100).meta({ description: 'Rows a page at most.' }),
  cursor,
  state: z.enum(['archiving', 'archived', 'restoring']).optional(),
});
export type ArchiveQuery = z.infer<typeof ArchiveQuery>;
export const ArchivePage = pageOf(Archive).meta({ id: 'ArchivePage' });

/** Archived rows come in the order in which they were archived. */
export const ArchivedRowsQuery = z.strictObject({ limit, cursor });
export type ArchivedRowsQuery = z.infer<typeof ArchivedRowsQuery>;
export const ArchivedContactPage = pageOf(Contact).meta({ id: 'ArchivedContactPage' });
export const ArchivedCompanyPage = pageOf(Company).meta({ id: 'ArchivedCompanyPage' });

const Email = text({ min: 3, max: 320 }).refine((email) => /^[^\s@]+@[^\s@]+$/.test(email), {
  message: 'not an email address',
  params: { code: 'invalid_email' },
});

/** Whole addresses and whole domains, whatever their case: the index holds no parts. */
export const ArchiveSearchQuery = z
  .strictObject({
    email: Email.optional(),
    domain: text({ min: 1, max: 255 }).optional().meta({
      description: 'Of companies, and of the addresses of contacts and prospects.',
    }),
    limit: z.coerce
      .number()
      .int()
      .min(1)
      .max(1000)
      .default(100)
      .meta({ description: 'Hits a page at most.' }),
    cursor,
  })
  .refine(({ email, domain }) => (email === undefined) !== (domain === undefined), {
    message: 'give either email or domain',
    path: ['email'],
    params: { code: 'ambiguous' },
  });
export type ArchiveSearchQuery = z.infer<typeof ArchiveSearchQuery>;

const found = { archiveId: Id, campaignName: z.string() };
export const ArchiveHit = z
  .discriminatedUnion('entity', [
    z.strictObject({ ...found, entity: z.literal('company'), row: Company }),
    z.strictObject({ ...found, entity: z.literal('contact'), row: Contact }),
    z.strictObject({ ...found, entity: z.literal('prospect'), row: Prospect }),
  ])
  .meta({ id: 'ArchiveHit' });
export type ArchiveHit = z.infer<typeof ArchiveHit>;
export const ArchiveHitPage = pageOf(ArchiveHit).meta({ id: 'ArchiveHitPage' });

export const ArchivedEntity = z.enum(['contacts', 'companies', 'research', 'prospects']);
export type ArchivedEntity = z.infer<typeof ArchivedEntity>;
export const ArchiveExportQuery = z.strictObject({
  table: ArchivedEntity.default('contacts'),
  format: z.enum(['ndjson', 'csv']).default('ndjson'),
  limit: z.coerce.number().int().min(1).max(5000).default(5000).meta({ description: 'Rows a part at most.' }),
  cursor: cursor.meta({ description: 'The `x-next-cursor` of the part before.' }),
});
export type ArchiveExportQuery = z.infer<typeof ArchiveExportQuery>;

const Days = z.int().min(1).max(3650).nullable();
const policy = {
  idleDays: Days.meta({
    description: 'Archives a campaign in which nothing changed for so long; null: never.',
  }),
  endedDays: Days.meta({ description: 'Archives one all batches of which ended so long ago; null: never.' }),
  closed: z.boolean().meta({ description: 'Archives campaigns that were closed by hand.' }),
  retentionDays: z.int().min(1).max(36_500).nullable().meta({
    description: 'Deletes archives after so long, for good; null: keeps them.',
  }),
};
export const ArchivePolicyDraft = z
  .strictObject({
    idleDays: policy.idleDays.default(null),
    endedDays: policy.endedDays.default(null),
    closed: policy.closed.default(false),
    retentionDays: policy.retentionDays.default(null),
  })
  .meta({ id: 'ArchivePolicyDraft', example: { idleDays: 90, closed: true } });
export type ArchivePolicyDraft = z.infer<typeof ArchivePolicyDraft>;
export const ArchivePolicy = z
  .strictObject({
    ...policy,
    version: Version.nullable().meta({ description: 'null: none was ever given.' }),
  })
  .meta({ id: 'ArchivePolicy' });
export type ArchivePolicy = z.infer<typeof ArchivePolicy>;

/** What the archive function did to a campaign, or why it could not. */
export const ArchiveEvent = z
  .strictObject({
    id: Id,
    campaignId: Id,
    action: z.enum(['archive', 'restore', 'purge']),
    outcome: z.enum(['done', 'failed']),
    reason: z.enum(['idle', 'ended', 'closed', 'asked', 'retention', 'deleted']),
    errorCode: z.string().nullable(),
    errorMessage: z.string().nullable(),
    rows: Rows,
    ms: z.int().min(0),
    createdAt: Time,
  })
  .meta({ id: 'ArchiveEvent' });
export type ArchiveEvent = z.infer<typeof ArchiveEvent>;
export const ArchiveEventQuery = z.strictObject({ limit, cursor });
export type ArchiveEventQuery = z.infer<typeof ArchiveEventQuery>;
export const ArchiveEventPage = pageOf(ArchiveEvent).meta({ id: 'ArchiveEventPage' });

export const ErasureRequest = z
  .strictObject({ email: Email })
  .meta({ id: 'ErasureRequest', example: { email: 'ada@angstrom.example' } });
export type ErasureRequest = z.infer<typeof ErasureRequest>;

/** Without the address: whoever asked knows it, and nobody else should. */
export const Erasure = z
  .strictObject({
    id: Id,
    state: z.enum(['running', 'done']),
    counts: z.record(z.string(), Rows).meta({ description: 'Rows that were deleted or changed, by table.' }),
    createdAt: Time,
    finishedAt: Time.nullable(),
  })
  .meta({ id: 'Erasure' });
export type Erasure = z.infer<typeof Erasure>;
export const ErasureQuery = z.strictObject({ limit, cursor });
export type ErasureQuery = z.infer<typeof ErasureQuery>;
export const ErasurePage = pageOf(Erasure).meta({ id: 'ErasurePage' });
