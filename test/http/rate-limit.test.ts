import fc from 'fast-check';
import { readRateLimit } from '../../core/http/rate-limit.ts';

const now = Date.parse('2026-03-01T12:00:00Z');
const epoch = now / 1000;
const inHalfAMinute = 'Sun, 01 Mar 2026 12:00:30 GMT';

test.each<[string, Record<string, string | string[]>, number, number]>([
  ['the structured form', { ratelimit: '"default";r=0;t=30' }, 0, 30_000],
  ['spaces and other parameters', { ratelimit: '"default"; pk=:QUJD:; r=12 ; t=30' }, 12, 30_000],
  ['a bare name', { ratelimit: 'default;r=5;t=60' }, 5, 60_000],
  ['a name with commas in it', { ratelimit: '"a,b;r=1;t=1,\\"";r=7;t=9' }, 7, 9_000],
  [
    'the slower of two policies',
    { ratelimit: '"hour";r=1000;t=3600, "day";r=2000;t=80000' },
    2000,
    80_000_000,
  ],
  ['the longer of two that are used up', { ratelimit: '"a";r=0;t=2, "b";r=0;t=30' }, 0, 30_000],
  ['two header lines', { ratelimit: ['"a";r=9;t=1', '"b";r=0;t=30'] }, 0, 30_000],
  ['draft 07', { ratelimit: 'limit=100, remaining=3, reset=15' }, 3, 15_000],
  ['draft 06', { 'ratelimit-remaining': '4', 'ratelimit-reset': '50' }, 4, 50_000],
  ['X- with seconds', { 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': '30' }, 1, 30_000],
  [
    'X- with seconds since 1970',
    { 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': `${epoch + 30}` },
    1,
    30_000,
  ],
  [
    'X- with milliseconds',
    { 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': `${now + 30_000}` },
    1,
    30_000,
  ],
  ['X- with a date', { 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': inHalfAMinute }, 1, 30_000],
  [
    'X- with an ISO date',
    { 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': '2026-03-01T12:00:30Z' },
    1,
    30_000,
  ],
  [
    'X- with an interval, which is better than a moment',
    { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': `${epoch + 99}`, 'x-ratelimit-reset-after': '1.25' },
    0,
    1_250,
  ],
  ['the other spelling', { 'x-rate-limit-remaining': '2', 'x-rate-limit-reset': '10' }, 2, 10_000],
  [
    'the standard before the custom',
    {
      'ratelimit-remaining': '4',
      'ratelimit-reset': '5',
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': '9',
    },
    4,
    5_000,
  ],
  ['a moment that has passed', { 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': `${epoch - 30}` }, 1, 0],
  ['a reset in a year, as a day', { ratelimit: '"default";r=0;t=31536000' }, 0, 86_400_000],
])('%s is understood', (_, headers, remaining, resetMs) => {
  expect(readRateLimit(headers, now)).toEqual({ remaining, resetMs });
});

test.each<[string, Record<string, string>]>([
  ['nothing', {}],
  ['an empty header', { ratelimit: '' }],
  ['a quota without its reset', { ratelimit: '"default";r=0' }],
  ['a reset without its quota', { 'x-ratelimit-reset': '30' }],
  ['a negative rest', { ratelimit: '"default";r=-1;t=30' }],
  ['words', { 'x-ratelimit-remaining': 'plenty', 'x-ratelimit-reset': 'soon' }],
  ['the policy alone', { 'ratelimit-policy': '"default";q=100;w=10' }],
  ['an endless header', { ratelimit: '"default";r=0;t=30,'.repeat(1000) }],
])('%s is no quota', (_, headers) => {
  expect(readRateLimit(headers, now)).toBeUndefined();
});

test('whatever the headers hold, the quota is a whole number and a wait of at most a day', () => {
  const value = fc.oneof(
    fc.string(),
    fc.tuple(fc.bigInt(), fc.bigInt()).map(([r, t]) => `"x";r=${r};t=${t}`),
    fc.bigInt().map(String),
    fc.double().map(String),
  );
  const names = [
    'ratelimit',
    'ratelimit-remaining',
    'ratelimit-reset',
    'x-ratelimit-remaining',
    'x-ratelimit-reset',
  ];
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names), value), (headers) => {
      const quota = readRateLimit(headers, now);
      if (!quota) return;
      expect(Number.isSafeInteger(quota.remaining) && quota.remaining >= 0).toBe(true);
      expect(Number.isInteger(quota.resetMs) && quota.resetMs >= 0 && quota.resetMs <= 86_400_000).toBe(true);
    }),
  );
});
