import { type IExecuteFunctions, NodeOperationError, tryToParseDateTime } from 'n8n-workflow';
import { isObject } from '../transport/problem';
import { shown } from './shown';

const iso = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?$/;
const epochMs = /^\d{13}$/;

/**
 * A time in ISO 8601, which without a zone is one of the workflow's, a DateTime, a Date, or milliseconds since 1970. Of
 * all else, such as 12/01/2026, the day could only be guessed.
 * @returns it in UTC, as ISO 8601
 */
export function readTime(this: IExecuteFunctions, value: unknown, title: string, itemIndex: number): string {
  const time = parse(value, this.getTimezone());
  if (time !== undefined && !Number.isNaN(time.getTime())) return time.toISOString();
  throw new NodeOperationError(this.getNode(), `${title} is ${shown(value)}, which is not a time`, {
    description:
      'Give it as ISO 8601, such as 2026-12-01T09:00:00 or 2026-12-01T09:00:00+01:00, or as milliseconds since 1970. Other forms: {{ DateTime.fromFormat($json.day, "dd.MM.yyyy") }}.',
    itemIndex,
  });
}

function parse(value: unknown, zone: string): Date | undefined {
  // A Date and a DateTime are worth their milliseconds.
  const moment = isObject(value) ? value.valueOf() : value;
  if (typeof moment === 'number') return new Date(moment);
  const text = typeof moment === 'string' ? moment.trim() : '';
  if (epochMs.test(text)) return new Date(Number(text));
  if (!iso.test(text)) return undefined;
  try {
    const time = tryToParseDateTime(text, zone);
    // It makes the 2nd of March of the 30th of February.
    return time.toISODate() === text.slice(0, 10) ? time.toJSDate() : undefined;
  } catch {
    return undefined;
  }
}
