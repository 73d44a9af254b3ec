const clockTime = '\\d{2}:\\d{2}:\\d{2}';
const forms = [
  `[A-Z][a-z]{2}, \\d{2} [A-Z][a-z]{2} \\d{4} ${clockTime} GMT`,
  `[A-Z][a-z]{5,8}, \\d{2}-[A-Z][a-z]{2}-\\d{2} ${clockTime} GMT`,
  `\\d{4}-\\d{2}-\\d{2}T${clockTime}(\\.\\d+)?(Z|[+-]\\d{2}:\\d{2})`,
];
const withZone = new RegExp(`^(${forms.join('|')})$`);
const asctime = new RegExp(`^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \\d]\\d ${clockTime} \\d{4}$`);

/**
 * Reads a date as headers write it: the three forms of RFC 9110 §5.6.7, and ISO 8601, which many send instead.
 * `Date.parse` alone would take `-5` for a year.
 * @returns milliseconds since 1970, or undefined when it is no such date
 */
export function httpDateMs(text: string | undefined): number | undefined {
  const value = text?.trim() ?? '';
  const source = asctime.test(value) ? `${value} GMT` : withZone.test(value) ? value : '';
  const ms = Date.parse(source);
  return Number.isNaN(ms) ? undefined : ms;
}
