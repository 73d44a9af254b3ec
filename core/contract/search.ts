import { z } from 'zod';
import { isStorable } from './text.ts';

/** Longer texts are refused: nobody types them, and each word costs. */
export const maxSearchLength = 256;

/** Not trimmed: a blank at the end says that the last word is whole. */
export const SearchText = z
  .string()
  .min(1)
  .max(maxSearchLength)
  .refine(isStorable, {
    message: 'the text holds a NUL character or half a surrogate pair; remove it',
    params: { code: 'unstorable_text' },
  })
  .meta({
    description:
      'Words of names, titles, emails and domains, best matches first. "Phrases", -without, or; the last word may be ' +
      'unfinished. When nothing has the words, names that are spelled alike.',
    example: 'angstrom',
  });
