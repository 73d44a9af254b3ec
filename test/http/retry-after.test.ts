import fc from 'fast-check';
import { retryAfterMs } from '../../core/research/retry-after.ts';

const now = Date.parse('2026-03-01T12:00:00Z');

test.each([
  ['7', 7_000],
  ['0', 0],
  [' 7 ', 7_000],
  ['1.5', 1_500],
  ['86401', 86_400_000],
  ['99999999999999999999', 86_400_000],
  ['Sun, 01 Mar 2026 12:00:30 GMT', 30_000],
  ['Sunday, 01-Mar-26 12:00:30 GMT', 30_000],
  ['Sun Mar  1 12:00:30 2026', 30_000],
  ['2026-03-01T13:00:30+01:00', 30_000],
  ['Sun, 01 Mar 2026 11:59:30 GMT', 0],
  ['Fri, 31 Dec 9999 23:59:59 GMT', 86_400_000],
])('Retry-After: %s', (header, ms) => {
  expect(retryAfterMs(header, now)).toBe(ms);
});

test.each([
  '',
  '-5',
  '+5',
  '5 minutes',
  'soon',
  '1e3',
  'Infinity',
  'NaN',
  '0x10',
  'Sun, 99 Foo 2026 12:00:30 GMT',
])('Retry-After: "%s" makes no sense', (header) => {
  expect(retryAfterMs(header, now)).toBeUndefined();
});

test('without the header there is no pause', () => {
  expect(retryAfterMs(undefined, now)).toBeUndefined();
  expect(retryAfterMs(['3', '9'], now)).toBe(3_000);
});

test('whatever the header holds, a pause is whole milliseconds of at most a day', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.double().map(String), fc.date().map(String)), (header) => {
      const ms = retryAfterMs(header, now) ?? 0;
      expect(Number.isInteger(ms) && ms >= 0 && ms <= 86_400_000).toBe(true);
    }),
  );
});
