import fc from 'fast-check';
import { cursorScope, decodeCursor, encodeCursor } from '../../core/contract/cursor.ts';
import { formatPath } from '../../core/contract/field-errors.ts';
import { jsonProblem, maxJsonDepth } from '../../core/contract/json.ts';
import { created } from '../../core/db/sorts.ts';
import { InvalidCursor } from '../../core/errors.ts';

const scope = cursorScope('contacts', { campaignId: 'a' }, 'asc');
const micros = fc
  .tuple(
    fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }),
    fc.nat(999),
  )
  .map(([date, us]) => `${date.toISOString().slice(0, 23)}${String(us).padStart(3, '0')}Z`);

test('a cursor gives back the position it was made of, µs included', () => {
  fc.assert(
    fc.property(micros, fc.uuid(), (key, id) => {
      expect(decodeCursor(scope, encodeCursor(scope, { key, id }), created.isKey)).toEqual({ key, id });
    }),
  );
});

test('garbage is refused as an invalid cursor and nothing else', () => {
  const garbage = fc.oneof(
    fc.string(),
    fc.base64String(),
    fc.json().map((json) => Buffer.from(json).toString('base64url')),
    fc
      .tuple(fc.constantFrom(1, 2), fc.constant(scope), fc.string(), fc.oneof(fc.uuid(), fc.string()))
      .map((cursor) => Buffer.from(JSON.stringify(cursor)).toString('base64url')),
  );
  fc.assert(
    fc.property(garbage, (cursor) =>
      expect(() => decodeCursor(scope, cursor, created.isKey)).toThrow(InvalidCursor),
    ),
  );
});

test.each(['2026-02-30T00:00:00.000000Z', '0000-01-01T00:00:00.000000Z', '2026-01-01T25:00:00.000000Z'])(
  'a cursor at %s, a time that does not exist, is refused',
  (key) => {
    const cursor = encodeCursor(scope, { key, id: '0198f0c2-6a44-7c11-9d1f-3f1b7a5e2c10' });
    expect(() => decodeCursor(scope, cursor, created.isKey)).toThrow(InvalidCursor);
  },
);

test('a cursor belongs to its list, filter and order', () => {
  const others = [
    cursorScope('companies', { campaignId: 'a' }, 'asc'),
    cursorScope('contacts', { campaignId: 'b' }, 'asc'),
    cursorScope('contacts', { campaignId: 'a' }, 'desc'),
  ];
  expect(new Set([scope, ...others]).size).toBe(4);
  const cursor = encodeCursor(scope, {
    key: '2026-01-01T00:00:00.000001Z',
    id: '0198f0c2-6a44-7c11-9d1f-3f1b7a5e2c10',
  });
  for (const other of others) expect(() => decodeCursor(other, cursor, created.isKey)).toThrow(InvalidCursor);
  expect(cursorScope('contacts', { companyId: undefined, campaignId: 'a' }, 'asc')).toBe(scope);
});

test('paths are written as people write them', () => {
  expect(formatPath(['rows', 3, 'attributes', 'size'])).toBe('rows[3].attributes.size');
});

test('JSON that Postgres can keep has no problem; deep, large and unstorable JSON has one', () => {
  const nested = (levels: number): unknown => {
    let value: unknown = 1;
    for (let level = 0; level < levels; level++) value = [value];
    return value;
  };
  expect(jsonProblem({ a: [1, 'x', null, true, 1.5e10] })).toBeUndefined();
  expect(jsonProblem(nested(maxJsonDepth))).toBeUndefined();
  expect(jsonProblem(nested(100_000))).toMatchObject({ code: 'too_deep' });
  expect(jsonProblem({ a: { b: 'x\0' } })).toMatchObject({ code: 'unstorable_text', path: ['a', 'b'] });
  expect(jsonProblem({ '\ud800': 1 })).toMatchObject({ code: 'unstorable_text' });
  expect(jsonProblem({ a: Number.POSITIVE_INFINITY })).toMatchObject({
    code: 'number_out_of_range',
    path: ['a'],
  });
  expect(jsonProblem({ a: 'x'.repeat(70_000) })).toMatchObject({ code: 'too_large' });
  // 1,000 numbers of 5 bytes each, which Postgres would write as 309 digits each.
  expect(jsonProblem({ a: Array.from({ length: 1000 }, () => 1e308) })).toMatchObject({ code: 'too_large' });
});
