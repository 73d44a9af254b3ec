import { z } from 'zod';

/** The part of a list's query that every list has; each list adds its filters. */
export const pageFields = {
  limit: z.coerce.number().int().min(1).max(5000).default(100).meta({ description: 'Rows a page at most.' }),
  cursor: z.string().min(1).max(1000).optional().meta({ description: 'The `next` of the page before.' }),
  order: z.enum(['asc', 'desc']).default('desc').meta({ description: 'By time of creation.' }),
};

export interface PageRequest {
  limit: number;
  order: 'asc' | 'desc';
  cursor?: string | undefined;
}

export interface Page<Row> {
  data: Row[];
  next: string | null;
}

export function pageOf<Schema extends z.ZodType>(row: Schema) {
  return z.strictObject({
    data: z.array(row),
    next: z
      .string()
      .nullable()
      .meta({ description: 'Give it as `cursor` for the next page; null at the end.' }),
  });
}
