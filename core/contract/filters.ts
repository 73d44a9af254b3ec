import { z } from 'zod';
import { text } from './text.ts';

/** `attribute=segment:smb`: the attribute of that name has that value, as text. */
export const AttributeFilter = text({ min: 3, max: 1000 })
  .transform((given) => {
    const colon = given.indexOf(':');
    return { name: given.slice(0, colon), value: given.slice(colon + 1) };
  })
  .refine(({ name }) => name !== '', {
    message: 'write it as name:value, such as segment:smb',
    params: { code: 'invalid_format' },
  })
  .optional()
  .meta({
    type: 'string',
    description: 'name:value of an attribute, such as segment:smb.',
    example: 'segment:smb',
  });

export type AttributeValue = NonNullable<z.infer<typeof AttributeFilter>>;

export const Flag = z.enum(['true', 'false']).optional();

/** Rows changed at this time or later. */
export const UpdatedSince = z.iso
  .datetime({ offset: true })
  .refine((time) => !Number.isNaN(Date.parse(time)) && /^[12]\d{3}-/.test(time), {
    message: 'not a time between 1000 and 2999',
  })
  .optional()
  .meta({ format: 'date-time', description: 'Only rows changed at this time or later.' });
