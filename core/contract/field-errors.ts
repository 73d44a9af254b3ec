import type { z } from 'zod';
import type { FieldError } from '../errors.ts';
import { excerpt } from './text.ts';

const maxErrors = 100;
/** A thousand rows have one answer, which is at most 6 MB. */
const maxErrorsOfRow = 5;
type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** `['rows', 3, 'email']` as people write it: `rows[3].email`. */
export function formatPath(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    const name = excerpt(String(part));
    return text === '' ? name : `${text}.${name}`;
  }, '');
}

function valueAt(input: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, part) => (typeof value === 'object' && value !== null ? (value as never)[part] : undefined),
    input,
  );
}

function bound(issue: { origin: string }, much: 'too_long' | 'too_short'): string {
  if (issue.origin === 'array' || issue.origin === 'set')
    return much === 'too_long' ? 'too_many_rows' : 'too_few_rows';
  if (issue.origin === 'string') return much;
  return much === 'too_long' ? 'too_large' : 'too_small';
}

function codeOf(issue: Issue, input: unknown): string {
  switch (issue.code) {
    case 'invalid_type':
      return valueAt(input, issue.path) === undefined ? 'required' : 'wrong_type';
    case 'too_big':
      return bound(issue, 'too_long');
    case 'too_small':
      return bound(issue, 'too_short');
    case 'invalid_format':
      return 'invalid_format';
    case 'invalid_value':
    case 'invalid_union':
      return valueAt(input, issue.path) === undefined ? 'required' : 'not_allowed';
    case 'custom':
      return typeof issue.params?.code === 'string' ? issue.params.code : 'invalid';
    default:
      return 'invalid';
  }
}

/**
 * What a schema found wrong, in the words of the API: one entry a field, with a stable code.
 * @param input what was parsed, to tell a missing field from one of a wrong type
 * @param prefix where the input stands in the request, such as `['rows', 3]`
 */
export function fieldErrors(error: z.core.$ZodError, input: unknown, prefix: Path = []): FieldError[] {
  return allFieldErrors(error, input, prefix).slice(0, maxErrors);
}

export interface RowErrors {
  errors: FieldError[];
  moreErrors?: number;
}

/** The same for a row of many: the first few, and how many more there are. @param index of the row */
export function rowErrors(error: z.core.$ZodError, input: unknown, index: number): RowErrors {
  const errors = allFieldErrors(error, input, ['rows', index]);
  const more = errors.length - maxErrorsOfRow;
  return { errors: errors.slice(0, maxErrorsOfRow), ...(more > 0 ? { moreErrors: more } : {}) };
}

function allFieldErrors(error: z.core.$ZodError, input: unknown, prefix: Path): FieldError[] {
  return error.issues.flatMap((issue): FieldError[] => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        path: formatPath([...prefix, ...issue.path, key]),
        code: 'unknown_field',
        message: `there is no field ${excerpt(key)} here; remove it`,
      }));
    }
    const code = codeOf(issue, input);
    // What a rule over several fields says is its own.
    const isMissing = code === 'required' && issue.code !== 'custom';
    const message = isMissing ? 'this field is required' : issue.message;
    return [{ path: formatPath([...prefix, ...issue.path]), code, message }];
  });
}
