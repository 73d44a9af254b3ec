import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

/** Listens to every TCP connection this process starts. @returns `attempts`, as `address:port`, and a way to stop */
export function watchConnections() {
  const attempts: string[] = [];
  const seen = (message: unknown) =>
    (message as { socket: Socket }).socket.on('connectionAttempt', (address, port) =>
      attempts.push(`${address}:${port}`),
    );
  subscribe('net.client.socket', seen);
  return { attempts, stop: () => unsubscribe('net.client.socket', seen) };
}
