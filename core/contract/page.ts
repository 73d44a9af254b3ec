import { z } from 'zod';
import { SearchText } from './search.ts';

/** The part of a list's query that every list has; each list adds its filters, and the sorts it has indexes for. */
export const pageFields = {
  limit: z.coerce.number().int().min(1).max(5000).default(100).meta({ description: 'Rows a page at most.' }),
  // A name of 500 characters is part of it.
  cursor: z.string().min(1).max(6000).optional().meta({ description: 'The `next` of the page before.' }),
  order: z.enum(['asc', 'desc']).default('desc').meta({ description: 'Of the sort key; newest first.' }),
  follow: z.enum(['true', 'false']).optional().meta({
    description: 'With true the first page says from where to follow /v1/changes, as `changesAfter`.',
  }),
};

export function sortField<const Sort extends string>(sorts: readonly [Sort, ...Sort[]]) {
  return z
    .enum(sorts)
    .default(sorts[0] as never)
    .meta({
      description:
        'What rows are ordered by; equal ones by id. By `updated`, a row that changes during a walk may be missed.',
    });
}

/** `fields=id,email`: which fields of a row to answer, the id always among them. */
export function fieldsField<Shape extends z.ZodRawShape>(row: z.ZodObject<Shape>) {
  const names = Object.keys(row.shape);
  const known = new Set(names);
  return z
    .string()
    .transform((text) => [...new Set(['id', ...text.split(',').map((name) => name.trim())])])
    .superRefine((fields, context) => {
      for (const field of fields) {
        if (known.has(field)) continue;
        const message = `there is no field "${field.slice(0, 100)}"; there are: ${names.join(', ')}`;
        context.addIssue({ code: 'custom', message, params: { code: 'unknown_field' } });
      }
    })
    .optional()
    .meta({ type: 'string', description: `Only these fields of each row, by commas. ${names.join(', ')}` });
}

/** With `campaignId`, `fields`, `limit` and `cursor`, and no other filter or sort. */
export const searchField = SearchText.optional();

export interface PageRequest {
  limit: number;
  order: 'asc' | 'desc';
  /** The list's first sort when absent. */
  sort?: string | undefined;
  cursor?: string | undefined;
  fields?: string[] | undefined;
  follow?: 'true' | 'false' | undefined;
}

export interface Page<Row> {
  data: Row[];
  next: string | null;
  changesAfter?: string;
}

export function pageOf<Schema extends z.ZodType>(row: Schema) {
  return z.strictObject({
    data: z.array(row).meta({ description: 'With `fields` only those of each row.' }),
    next: z.string().nullable().meta({
      description: 'Give it as `cursor` for the next page, which may be short or empty; null at the end.',
    }),
    changesAfter: z
      .string()
      .optional()
      .meta({ description: 'With follow=true: give it as `after` to /v1/changes once the pages are read.' }),
  });
}
