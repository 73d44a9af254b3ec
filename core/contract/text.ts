import { z } from 'zod';

/** Postgres keeps neither NUL nor half a surrogate pair in text. */
export function isStorable(value: string): boolean {
  return !value.includes('\0') && value.isWellFormed();
}

/** The text as Postgres keeps it: what it does not take is U+FFFD. */
export function storable(value: string): string {
  return value.replaceAll('\0', '\ufffd').toWellFormed();
}

/** A value as JSON that Postgres keeps as jsonb, what it does not take as `storable` writes it. */
export function storableJson(value: unknown): string {
  return JSON.stringify(value).replace(/\\(?:\\|u0000|ud[89a-f][0-9a-f]{2})/g, (sequence) =>
    sequence === '\\\\' ? sequence : '\\ufffd',
  );
}

/** The beginning of what a caller wrote, to be shown or kept: the cut may leave half a pair. */
export function excerpt(value: string, length = 100): string {
  return storable(value.slice(0, length));
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
