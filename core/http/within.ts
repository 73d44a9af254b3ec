/**
 * Gives an exchange a total deadline. The client looks at its signal only once connected, so a name or a handshake that
 * hangs would outlast it: the promise is settled by the timer itself.
 * @throws TimeoutError once `timeoutMs` have passed, or what `work` throws
 */
export function within<Value>(
  timeoutMs: number,
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const controller = new AbortController();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const reason = new DOMException('the deadline has passed', 'TimeoutError');
      controller.abort(reason);
      reject(reason);
    }, timeoutMs);
    work(controller.signal)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}
