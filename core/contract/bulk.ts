import { z } from 'zod';
import type { FieldError } from '../errors.ts';
import { FieldProblem } from './problem.ts';
import { Id } from './text.ts';

export const maxBulkRows = 1000;

export const RowStatus = z.enum(['created', 'updated', 'unchanged', 'duplicate', 'rejected']);
export type RowStatus = z.infer<typeof RowStatus>;

export const RowResult = z
  .strictObject({
    index: z.int().min(0),
    status: RowStatus,
    id: Id.optional(),
    domain: z
      .string()
      .nullable()
      .optional()
      .meta({ description: 'Companies: the domain as it was understood.' }),
    duplicateOf: z
      .int()
      .min(0)
      .optional()
      .meta({ description: 'The earlier row of this request with the same key.' }),
    errors: z.array(FieldProblem).optional(),
    moreErrors: z.int().min(1).optional().meta({ description: 'How many more there are than are named.' }),
  })
  .meta({ id: 'RowResult' });
export interface RowResult {
  index: number;
  status: RowStatus;
  id?: string;
  domain?: string | null;
  duplicateOf?: number;
  errors?: FieldError[];
  moreErrors?: number;
}

const count = z.int().min(0);
export const BulkReply = z
  .strictObject({
    results: z.array(RowResult).meta({ description: 'One for each row, in the order of the rows.' }),
    counts: z.strictObject({
      created: count,
      updated: count,
      unchanged: count,
      duplicate: count,
      rejected: count,
    }),
  })
  .meta({ id: 'BulkReply' });
export interface BulkReply {
  results: RowResult[];
  counts: Record<RowStatus, number>;
}

/** Rows are taken as they come and parsed one by one, so that a bad row fails alone. */
export function bulkOf(rowSchemaName: string) {
  return z.strictObject({
    campaignId: Id,
    rows: z
      .array(z.unknown())
      .min(1)
      .max(maxBulkRows)
      .meta({
        type: 'array',
        minItems: 1,
        maxItems: maxBulkRows,
        items: { $ref: `#/components/schemas/${rowSchemaName}` },
      }),
  });
}

export function bulkReply(results: RowResult[]): BulkReply {
  const counts = { created: 0, updated: 0, unchanged: 0, duplicate: 0, rejected: 0 };
  for (const result of results) counts[result.status]++;
  return { results, counts };
}
