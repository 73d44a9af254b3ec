import { z } from 'zod';
import { Id, Time } from './text.ts';

export const ChangeEntity = z.enum([
  'campaign',
  'company',
  'contact',
  'research',
  'prospect',
  'batch',
  'job',
  'provider',
]);

/** One statement's effect on one campaign: which rows, and what became of them. */
export const Change = z
  .strictObject({
    id: z.string().meta({ description: 'Stable: the same change always comes with the same id.' }),
    entity: ChangeEntity,
    op: z.enum([
      'insert',
      'update',
      'delete',
      'archive',
      'restore',
      'queued',
      'completed',
      'failed',
      'cancelled',
    ]),
    campaignId: Id.nullable(),
    ids: z
      .array(Id)
      .meta({ description: 'Read them for their present state; their version tells repeats apart.' }),
    at: Time,
  })
  .meta({ id: 'Change' });
export type Change = z.infer<typeof Change>;

export const ChangeQuery = z.strictObject({
  after: z
    .string()
    .min(1)
    .max(500)
    .optional()
    .meta({ description: 'The `next` of the answer before. Without it the answer is the present position.' }),
  wait: z.coerce
    .number()
    .int()
    .min(0)
    .max(20)
    .default(0)
    .meta({ description: 'Seconds to wait for a change when there is none yet.' }),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(5000)
    .default(1000)
    .meta({ description: 'Ids an answer at most.' }),
  entity: ChangeEntity.optional(),
  campaignId: Id.optional(),
});
export type ChangeQuery = z.infer<typeof ChangeQuery>;

export const ChangePage = z
  .strictObject({
    data: z.array(Change),
    next: z
      .string()
      .meta({ description: 'Give it as `after`; never null, for there is always more to come.' }),
  })
  .meta({ id: 'ChangePage' });
export type ChangePage = z.infer<typeof ChangePage>;
