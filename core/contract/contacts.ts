import { z } from 'zod';
import { bulkOf } from './bulk.ts';
import { AttributeFilter, Flag, UpdatedSince } from './filters.ts';
import { Attributes } from './json.ts';
import { fieldsField, pageFields, pageOf, searchField, sortField } from './page.ts';
import { Id, Time, text, Version } from './text.ts';

export const Contact = z
  .strictObject({
    id: Id,
    campaignId: Id,
    companyId: Id.nullable(),
    fullName: z.string(),
    email: z.string().nullable(),
    title: z.string().nullable(),
    phone: z.string().nullable(),
    linkedin: z.string().nullable(),
    attributes: z.record(z.string(), z.unknown()),
    version: Version,
    createdAt: Time,
    updatedAt: Time,
  })
  .meta({ id: 'Contact' });
export type Contact = z.infer<typeof Contact>;

const Email = text({ max: 320 }).refine((email) => email === '' || /^[^\s@]+@[^\s@]+$/.test(email), {
  message: 'not an email address',
  params: { code: 'invalid_email' },
});

/** A field that is absent keeps its value, null (or blank) clears it; attributes are replaced as a whole. */
export const ContactRow = z
  .strictObject({
    companyId: Id.nullable().optional(),
    companyDomain: text({ max: 2000 })
      .nullable()
      .optional()
      .meta({ description: 'Finds the company of the campaign by its domain; instead of companyId.' }),
    fullName: text({ max: 500 }).nullable().optional(),
    email: Email.nullable().optional().meta({
      description: 'The key within the campaign, whatever its case; without one the row is always created.',
    }),
    title: text({ max: 500 }).nullable().optional(),
    phone: text({ max: 100 }).nullable().optional(),
    linkedin: text({ max: 500 }).nullable().optional(),
    attributes: Attributes.optional(),
  })
  .refine((row) => row.companyId == null || row.companyDomain == null, {
    path: ['companyDomain'],
    message: 'give companyId or companyDomain, not both',
    params: { code: 'ambiguous' },
  })
  .meta({ id: 'ContactRow', example: { fullName: 'Ada Example', email: 'ada@angstrom.example' } });
export type ContactRow = z.infer<typeof ContactRow>;

export const ContactBulk = bulkOf('ContactRow').meta({ id: 'ContactBulk' });
export type ContactBulk = z.infer<typeof ContactBulk>;

export const ContactQuery = z.strictObject({
  ...pageFields,
  sort: sortField(['created', 'updated', 'name', 'email']),
  fields: fieldsField(Contact),
  search: searchField,
  campaignId: Id.optional(),
  companyId: Id.optional(),
  hasEmail: Flag,
  titlePrefix: text({ min: 1, max: 500 }).optional().meta({ description: 'Whatever its case.' }),
  updatedSince: UpdatedSince,
  attribute: AttributeFilter,
});
export type ContactQuery = z.infer<typeof ContactQuery>;

export const ContactPage = pageOf(Contact).meta({ id: 'ContactPage' });
