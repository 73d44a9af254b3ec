/** One figure. `ratio` is `value` against `versus`, measured in turn in the same run. */
export interface Row {
  name: string;
  value: number;
  unit: string;
  versus: string | null;
  ratio: number | null;
  target: string | null;
  /** null when the row has no target. */
  holds: boolean | null;
  /** Statements, queue calls, buffers, peak memory: what was needed to get there. */
  counts: Record<string, number>;
}

export type Group = () => AsyncGenerator<Row>;

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export const peakMemoryMb = () => Math.round(process.resourceUsage().maxRSS / 1024);
