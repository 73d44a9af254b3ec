import { z } from 'zod';
import { isStorable } from './text.ts';

export const maxJsonDepth = 100;
export const maxJsonBytes = 64 * 1024;

interface Node {
  value: unknown;
  depth: number;
  key: string | number;
  parent: Node | undefined;
}

export interface JsonProblem {
  path: (string | number)[];
  code: string;
  message: string;
}

function pathOf(node: Node): (string | number)[] {
  const path: (string | number)[] = [];
  for (let at: Node | undefined = node; at?.parent; at = at.parent) path.unshift(at.key);
  return path;
}

/** Postgres writes numbers out in full: 1e308 becomes 309 digits, so that is what it counts as. */
export function digits(value: number): number {
  const exponent = Number(value.toExponential().split('e')[1]);
  return Math.abs(exponent) + 20;
}

/**
 * Looks for what Postgres would refuse in a JSON value, or what would grow out of bounds: NUL and lone surrogates,
 * numbers beyond double precision, more than 100 levels, more than 64 KiB. Walks without recursion and stops early.
 */
export function jsonProblem(root: unknown): JsonProblem | undefined {
  const open: Node[] = [{ value: root, depth: 0, key: '', parent: undefined }];
  let bytes = 0;
  for (let node = open.pop(); node; node = open.pop()) {
    const { value, depth } = node;
    const problem = (code: string, message: string): JsonProblem => ({
      path: pathOf(node as Node),
      code,
      message,
    });
    if (depth > maxJsonDepth)
      return { ...problem('too_deep', `nested more than ${maxJsonDepth} levels deep`), path: [] };
    if (typeof value === 'string') {
      if (!isStorable(value))
        return problem('unstorable_text', 'holds a NUL character or half a surrogate pair');
      bytes += Buffer.byteLength(value) + 3;
    } else if (typeof value === 'number') {
      if (!Number.isFinite(value))
        return problem('number_out_of_range', 'the number is too large to be kept');
      bytes += Number.isSafeInteger(value) ? 17 : digits(value);
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, child] of Object.entries(value)) {
        if (!isStorable(key))
          return problem('unstorable_text', 'a key holds a NUL character or half a surrogate pair');
        if (!Array.isArray(value)) bytes += Buffer.byteLength(key) + 4;
        open.push({
          value: child,
          depth: depth + 1,
          key: Array.isArray(value) ? Number(key) : key,
          parent: node,
        });
        bytes += 1;
      }
    } else bytes += 5;
    if (bytes > maxJsonBytes) {
      return { path: [], code: 'too_large', message: `larger than ${maxJsonBytes / 1024} KiB as JSON` };
    }
  }
  return undefined;
}

const isObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * What users add to a row: any JSON object that Postgres can keep, or null, which clears it. Not a record of zod's, which
 * drops `__proto__`.
 */
export const Attributes = z
  .custom<Record<string, unknown>>(isObject, {
    error: 'expected an object',
    params: { code: 'wrong_type' },
    abort: true,
  })
  .superRefine((value, context) => {
    const problem = jsonProblem(value);
    if (!problem) return;
    context.addIssue({
      code: 'custom',
      path: problem.path,
      message: problem.message,
      params: { code: problem.code },
    });
  })
  .meta({
    type: ['object', 'null'],
    additionalProperties: {},
    description:
      'Any JSON object up to 64 KiB and 100 levels. Numbers are doubles: give ids of more than 15 digits as text.',
    example: { segment: 'smb' },
  })
  .nullable();
