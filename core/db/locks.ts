/** A deadlock, or a lock that was waited for too long: nothing was done, and the same may well work next time. */
export function isLockTrouble(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === '40P01' || code === '55P03';
}
