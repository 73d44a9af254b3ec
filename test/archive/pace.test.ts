import { type Observation, politePace } from '../../core/archive/pace.ts';

const quiet: Observation = {
  ...{ ms: 60, chunks: 1, kind: 'contacts', lookMs: 1, transactions: 5, sinceMs: 2_000 },
};
const busy: Observation = { ...quiet, transactions: 1_000 };

test('in a quiet database nobody waits, however slow the machine is', () => {
  const pace = politePace();
  for (let n = 0; n < 20; n++) expect(pace.after(quiet)).toBe(0);
  for (let n = 0; n < 20; n++) expect(pace.after({ ...quiet, ms: 600, lookMs: 50 })).toBe(0);
});

test('when others are at work it waits as long as it worked, and up to four times while it is slow', () => {
  const pace = politePace();
  for (let n = 0; n < 20; n++) expect(pace.after(busy)).toBe(60);
  for (let n = 0; n < 20; n++) pace.after({ ...busy, ms: 200 });
  expect(pace.after({ ...busy, ms: 200 })).toBe(800);
});

test('what a short span tells is not taken for others: statistics are up to a second old', () => {
  expect(politePace().after({ ...quiet, transactions: 30, sinceMs: 100 })).toBe(0);
  expect(politePace().after({ ...quiet, transactions: 100, sinceMs: 100 })).toBe(60);
});

test('transactions grow towards a quarter of a second, and are short when others are at work', () => {
  const pace = politePace();
  for (let n = 0; n < 10; n++) pace.after({ ...quiet, ms: 60 * pace.chunks, chunks: pace.chunks });
  expect(pace.chunks).toBe(4);
  pace.after({ ...busy, ms: 60 * pace.chunks, chunks: pace.chunks });
  expect(pace.chunks).toBe(1);
});

test('a walk over what there is nothing of takes longer strides', () => {
  const pace = politePace();
  for (let n = 0; n < 3; n++) expect(pace.after({ ...quiet, ms: 3, chunks: 0 })).toBe(0);
  expect(pace.chunks).toBe(4);
});
