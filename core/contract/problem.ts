import { z } from 'zod';

export const FieldProblem = z
  .strictObject({
    path: z.string().meta({ example: 'rows[3].email' }),
    code: z.string().meta({ example: 'too_long' }),
    message: z.string(),
  })
  .meta({ id: 'FieldProblem' });

/** RFC 9457 problem+json; `code` is stable, `errors` names each bad field of a 400. */
export const Problem = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.string(),
    detail: z.string(),
    requestId: z.string(),
    errors: z.array(FieldProblem).optional(),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof Problem>;
