import { z } from 'zod';
import { pageFields, pageOf } from './page.ts';
import { Id, Time, text, Version } from './text.ts';

export const Campaign = z
  .strictObject({
    id: Id,
    name: z.string(),
    archived: z.boolean(),
    archivedAt: Time.nullable(),
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

export const CampaignQuery = z.strictObject({
  ...pageFields,
  archived: z.enum(['true', 'false', 'any']).default('false'),
});
export type CampaignQuery = z.infer<typeof CampaignQuery>;

export const CampaignPage = pageOf(Campaign).meta({ id: 'CampaignPage' });
