/**
 * Calls `end` when the process that started us is gone, SIGKILL included: the channel it opened closes then.
 * Does nothing for a process that was started without such a channel.
 */
export function onOrphaned(end: () => void): void {
  if (!process.channel) return;
  process.once('disconnect', end);
  process.channel.unref();
}
