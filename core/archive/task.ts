import { z } from 'zod';

const times = z.int().min(1).default(1);

/** What the archive function is called with. An address to forget travels here and is kept nowhere. */
export const ArchiveTask = z.discriminatedUnion('task', [
  z.strictObject({ v: z.literal(1), task: z.literal('nightly'), leaseId: z.guid().optional() }),
  z.strictObject({
    v: z.literal(1),
    task: z.enum(['archive', 'restore']),
    archiveId: z.guid(),
    tenantId: z.guid(),
    times,
  }),
  z.strictObject({
    v: z.literal(1),
    task: z.literal('erase'),
    erasureId: z.guid(),
    tenantId: z.guid(),
    email: z.string().min(3).max(320),
    times,
  }),
]);
export type ArchiveTask = z.infer<typeof ArchiveTask>;

/** Has the archive function called with a task, without waiting for what it does. */
export type InvokeArchive = (task: ArchiveTask) => Promise<unknown>;
