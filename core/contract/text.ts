import { z } from 'zod';

/** Postgres keeps neither NUL nor half a surrogate pair in text. */
export function isStorable(value: string): boolean {
  return !value.includes('\0') && value.isWellFormed();
}

/** Text as people write it, without the blanks around it. Lengths are in UTF-16 units, never fewer than Postgres counts. */
export function text({ min = 0, max }: { min?: number; max: number }) {
  return z
    .string()
    .trim()
    .min(min)
    .max(max)
    .refine(isStorable, {
      message: 'the text holds a NUL character or half a surrogate pair; remove it',
      params: { code: 'unstorable_text' },
    });
}

export const Id = z.guid().meta({ format: 'uuid', example: '0198f0c2-6a44-7c11-9d1f-3f1b7a5e2c10' });
export const Time = z.string().meta({ format: 'date-time', example: '2026-11-24T01:02:03.123456Z' });
export const Version = z.int().min(1).meta({ description: 'Raised by every change.' });

/** What a provider's or a kind's name looks like. */
export const slugPattern = /^[a-z0-9][a-z0-9_-]{0,62}$/;
