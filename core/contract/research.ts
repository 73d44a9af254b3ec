import { z } from 'zod';
import { maxBulkRows } from './bulk.ts';
import { Flag, UpdatedSince } from './filters.ts';
import { fieldsField, pageFields, pageOf, searchField, sortField } from './page.ts';
import { FieldProblem } from './problem.ts';
import { ProviderNameOrId, Url } from './providers.ts';
import { Id, slugPattern, Time, text, Version } from './text.ts';

export const Kind = z.string().regex(slugPattern).meta({ example: 'company' });

const years = /^2\d{3}-/;
const RunAt = z.iso
  .datetime({ offset: true, abort: true })
  .refine((time) => years.test(time) && !Number.isNaN(Date.parse(time)), {
    message: 'not a time between 2000 and 2999',
  })
  .transform((time) => new Date(time).toISOString());

/** Which companies to research, by whom, when: exactly one of companyIds, domains and all. */
export const ResearchRequest = z
  .strictObject({
    provider: ProviderNameOrId,
    kind: Kind.default('company'),
    companyIds: z.array(Id).min(1).max(maxBulkRows).optional(),
    domains: z
      .array(text({ max: 2000 }))
      .min(1)
      .max(maxBulkRows)
      .optional(),
    all: z.literal(true).optional(),
    batchId: Id.optional().meta({ description: 'Adds to a batch that is not sealed yet.' }),
    final: z.boolean().default(true).meta({ description: 'Seals the batch: it ends with its last job.' }),
    runAt: RunAt.optional().meta({
      description:
        'Nothing is asked before; now by default. All jobs of a batch have one: a later call leaves it out or repeats it.',
    }),
    priority: z.int().min(0).max(9).optional().meta({
      description:
        'Higher first; 0 by default. All jobs of a batch have one: a later call leaves it out or repeats it.',
    }),
    resumeUrl: Url.optional().meta({
      description:
        'Asked by POST once the batch has ended, such as the resume URL of an n8n execution. It is not shown again. ' +
        'The first one given for a batch stays.',
    }),
    resumeWithinSeconds: z
      .int()
      .min(1)
      .max(31 * 24 * 60 * 60)
      .optional()
      .meta({ description: 'Asks `resumeUrl` after so long at the latest, though the batch is still open.' }),
    dryRun: z.boolean().default(false),
  })
  .refine((request) => request.resumeUrl !== undefined || request.resumeWithinSeconds === undefined, {
    path: ['resumeWithinSeconds'],
    message: 'give resumeUrl too: there is nobody to resume',
    params: { code: 'resume_url_missing' },
  })
  .refine(
    (request) =>
      [request.companyIds, request.domains, request.all].filter((one) => one !== undefined).length === 1,
    {
      message: 'give exactly one of companyIds, domains and all',
      params: { code: 'ambiguous' },
    },
  )
  .meta({ id: 'ResearchRequest', example: { provider: 'n8n', all: true } });
export type ResearchRequest = z.infer<typeof ResearchRequest>;

export const ResearchReply = z
  .strictObject({
    batchId: Id.nullable().meta({ description: 'null after a dry run without a batch.' }),
    status: z.enum(['open', 'completed', 'cancelled']),
    accepted: z.int().min(0),
    deduplicated: z.int().min(0),
    rejected: z.array(FieldProblem),
    expanding: z
      .boolean()
      .meta({ description: 'The jobs of a batch over all companies are still being made.' }),
  })
  .meta({ id: 'ResearchReply' });
export type ResearchReply = z.infer<typeof ResearchReply>;

/** Results of one ask, whole or in parts; each is read on its own, so that a bad one fails alone. */
export const Callback = z
  .strictObject({ results: z.array(z.unknown()).min(1).max(maxBulkRows) })
  .meta({ id: 'Callback' });
export type Callback = z.infer<typeof Callback>;

export const CallbackReply = z
  .strictObject({
    applied: z.int().min(0),
    stale: z.int().min(0),
    rejected: z.array(z.strictObject({ index: z.int().min(0), ...FieldProblem.shape })),
  })
  .meta({ id: 'CallbackReply' });
export type CallbackReply = z.infer<typeof CallbackReply>;

export const Research = z
  .strictObject({
    id: Id,
    campaignId: Id,
    companyId: Id,
    kind: Kind,
    summary: z.string().nullable(),
    findings: z.unknown(),
    sources: z.unknown(),
    generation: z.int().min(1),
    version: Version,
    createdAt: Time,
    updatedAt: Time,
  })
  .meta({ id: 'Research' });
export type Research = z.infer<typeof Research>;

export const ResearchQuery = z.strictObject({
  ...pageFields,
  sort: sortField(['created', 'updated']),
  fields: fieldsField(Research),
  search: searchField,
  updatedSince: UpdatedSince,
  campaignId: Id.optional(),
  companyId: Id.optional(),
  kind: Kind.optional(),
});
export type ResearchQuery = z.infer<typeof ResearchQuery>;
export const ResearchPage = pageOf(Research).meta({ id: 'ResearchPage' });

export const Prospect = z
  .strictObject({
    id: Id,
    campaignId: Id,
    companyId: Id,
    researchId: Id,
    fullName: z.string().nullable(),
    email: z.string().nullable(),
    title: z.string().nullable(),
    phone: z.string().nullable(),
    linkedin: z.string().nullable(),
    attributes: z.record(z.string(), z.unknown()),
    createdAt: Time,
    updatedAt: Time,
  })
  .meta({ id: 'Prospect' });
export type Prospect = z.infer<typeof Prospect>;

export const ProspectQuery = z.strictObject({
  ...pageFields,
  sort: sortField(['created', 'updated']),
  fields: fieldsField(Prospect),
  hasEmail: Flag,
  updatedSince: UpdatedSince,
  campaignId: Id.optional(),
  researchId: Id.optional(),
});
export type ProspectQuery = z.infer<typeof ProspectQuery>;
export const ProspectPage = pageOf(Prospect).meta({ id: 'ProspectPage' });

export const PromoteRequest = z
  .strictObject({
    campaignId: Id,
    prospectIds: z.array(Id).min(1).max(1000),
  })
  .meta({ id: 'PromoteRequest' });
export type PromoteRequest = z.infer<typeof PromoteRequest>;
