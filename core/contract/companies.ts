import { z } from 'zod';
import { bulkOf } from './bulk.ts';
import { AttributeFilter, Flag, UpdatedSince } from './filters.ts';
import { Attributes } from './json.ts';
import { fieldsField, pageFields, pageOf, searchField, sortField } from './page.ts';
import { Id, Time, text, Version } from './text.ts';

export const Company = z
  .strictObject({
    id: Id,
    campaignId: Id,
    name: z.string(),
    domain: z.string().nullable(),
    attributes: z.record(z.string(), z.unknown()),
    version: Version,
    createdAt: Time,
    updatedAt: Time,
  })
  .meta({ id: 'Company' });
export type Company = z.infer<typeof Company>;

/** A field that is absent keeps its value, null clears it; attributes are replaced as a whole. */
export const CompanyRow = z
  .strictObject({
    name: text({ max: 500 }).nullable().optional(),
    domain: text({ max: 2000 }).nullable().optional().meta({
      description: 'As people write it: a host, a URL, with or without www. The key within the campaign.',
    }),
    attributes: Attributes.optional(),
  })
  .meta({ id: 'CompanyRow', example: { name: 'Ångström AB', domain: 'https://www.Angstrom.example/about' } });
export type CompanyRow = z.infer<typeof CompanyRow>;

export const CompanyBulk = bulkOf('CompanyRow').meta({ id: 'CompanyBulk' });
export type CompanyBulk = z.infer<typeof CompanyBulk>;

export const CompanyQuery = z.strictObject({
  ...pageFields,
  sort: sortField(['created', 'updated', 'name']),
  fields: fieldsField(Company),
  search: searchField,
  campaignId: Id.optional(),
  hasDomain: Flag,
  updatedSince: UpdatedSince,
  attribute: AttributeFilter,
});
export type CompanyQuery = z.infer<typeof CompanyQuery>;

export const CompanyPage = pageOf(Company).meta({ id: 'CompanyPage' });
