import { z } from 'zod';
import { Id } from './text.ts';

export const Scope = z.enum(['read', 'write', 'research', 'results:write']);
export type Scope = z.infer<typeof Scope>;

export const Me = z
  .strictObject({
    tenantId: Id,
    keyId: Id,
    keyName: z.string(),
    keyPrefix: z.string(),
    scopes: z.array(Scope),
    product: z.literal('aim-for-leads'),
  })
  .meta({ id: 'Me' });
export type Me = z.infer<typeof Me>;

export const Health = z
  .strictObject({ status: z.literal('ok'), database: z.literal('ok') })
  .meta({ id: 'Health' });
