import { z } from 'zod';
import { text } from './text.ts';

/** `attribute=segment:smb`: the attribute of that name has that value, as text. */
export const AttributeFilter = text({ min: 2, max: 1000 })
  .transform((given) => {
    const colon = given.indexOf(':');
    return { name: given.slice(0, Math.max(0, colon)), value: given.slice(colon + 1) };
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

/** Postgres takes offsets below 16 hours; real ones end at 14. */
const farOffset = /[+-](1[5-9]|2\d):\d{2}$/;

/** Rows changed at this time or later, to the microsecond. */
export const UpdatedSince = z.iso
  .datetime({ offset: true, abort: true })
  .refine((time) => !Number.isNaN(Date.parse(time)) && /^[12]\d{3}-/.test(time), {
    message: 'not a time between 1000 and 2999',
  })
  .refine((time) => !farOffset.test(time) && !/\.\d{10}/.test(time), {
    message: 'write it with at most 9 digits of a second and an offset of at most 14:59',
  })
  .optional()
  .meta({
    format: 'date-time',
    description:
      'Only rows changed at this time or later. To miss none, follow `/v1/changes`: some are committed late.',
  });
