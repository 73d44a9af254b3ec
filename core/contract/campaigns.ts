import { z } from 'zod';
import { UpdatedSince } from './filters.ts';
import { fieldsField, pageFields, pageOf, sortField } from './page.ts';
import { Id, Time, text, Version } from './text.ts';

const Count = z
  .int()
  .min(0)
  .meta({ description: 'Exact at the time of the answer; not part of the version.' });

export const Campaign = z
  .strictObject({
    id: Id,
    name: z.string(),
    archived: z.boolean(),
    archivedAt: Time.nullable(),
    closedAt: Time.nullable(),
    companiesCount: Count,
    contactsCount: Count,
    version: Version,
    createdAt: Time,
    updatedAt: Time,
  })
  .meta({ id: 'Campaign' });
export type Campaign = z.infer<typeof Campaign>;

export const CampaignDraft = z
  .strictObject({ name: text({ min: 1, max: 200 }) })
  .meta({ id: 'CampaignDraft', example: { name: 'Autumn outreach' } });
export type CampaignDraft = z.infer<typeof CampaignDraft>;

export const CampaignPatch = z
  .strictObject({
    name: text({ min: 1, max: 200 }).optional(),
    closed: z.boolean().optional().meta({
      description: 'Its work is over; the nightly run may archive it, where the archive policy says so.',
    }),
  })
  .refine(({ name, closed }) => name !== undefined || closed !== undefined, {
    message: 'give a name, or closed',
    params: { code: 'required' },
  })
  .meta({ id: 'CampaignPatch', example: { name: 'Autumn outreach, second wave' } });
export type CampaignPatch = z.infer<typeof CampaignPatch>;

export const CampaignQuery = z.strictObject({
  ...pageFields,
  sort: sortField(['created', 'updated', 'name']),
  fields: fieldsField(Campaign),
  updatedSince: UpdatedSince,
  archived: z.enum(['true', 'false', 'any']).default('false'),
});
export type CampaignQuery = z.infer<typeof CampaignQuery>;

export const CampaignPage = pageOf(Campaign).meta({ id: 'CampaignPage' });
