/**
 * Jobs that were in work when a process died are suspects: one of them may be what killed it. Each is asked about on
 * its own, and fewer run side by side each time it happens again: fifty, then eight, then one. So the one that kills
 * is found after five deaths, no other is given up with it, and a process that died for a reason of its own costs the
 * thousand jobs it had in work no more than a moment.
 */
export function suspectsAtOnce(crashes: number): number {
  return [Number.POSITIVE_INFINITY, 50, 8][crashes] ?? 1;
}

/** Splits jobs into rounds that may run one after the other: the healthy ones together, then the suspects. */
export function rounds<Job extends { crash_count: number }>(jobs: Job[]): Job[][] {
  const byCrashes = Map.groupBy(jobs, (job) => job.crash_count);
  return [...byCrashes.keys()]
    .sort((a, b) => a - b)
    .flatMap((crashes) => {
      const own = byCrashes.get(crashes) ?? [];
      const size = Math.min(own.length, suspectsAtOnce(crashes));
      return Array.from({ length: Math.ceil(own.length / size) }, (_, n) =>
        own.slice(n * size, (n + 1) * size),
      );
    });
}
