import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import type { AskBody } from './provider.ts';

/**
 * A provider that writes what it likes, byte by byte, HTTP or not: `respond` gets the socket once a whole ask came.
 * @param options.host what it listens on
 * @param options.tls makes it speak TLS
 */
export async function rawProvider(
  respond: (socket: Socket, ask: AskBody) => void,
  { host = '127.0.0.1', port = 0, tls }: { host?: string; port?: number; tls?: TlsOptions } = {},
) {
  const sockets = new Set<Socket>();
  const asks: AskBody[] = [];
  let bytesWritten = 0;
  const serve = (socket: Socket) => {
    let text = '';
    socket.on('error', () => undefined); // Cutting us off is what is tested.
    socket.on('close', () => {
      bytesWritten += socket.bytesWritten;
    });
    socket.setEncoding('latin1').on('data', (part) => {
      text += part;
      const [head = '', body] = text.split('\r\n\r\n', 2);
      const length = Number(/^content-length: (\d+)/im.exec(head)?.[1]);
      if (body === undefined || body.length < length) return;
      text = '';
      const ask = JSON.parse(body) as AskBody;
      asks.push(ask);
      respond(socket, ask);
    });
  };
  const server: Server = tls ? createTlsServer(tls, serve) : createServer(serve);
  server.on('tlsClientError', () => undefined);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  let connections = 0;
  server.on('connection', () => connections++);
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  const address = server.address() as AddressInfo;
  return {
    port: address.port,
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${address.port}/`,
    asks,
    connections: () => connections,
    open: () => sockets.size,
    /** Of the sockets that are closed. */
    bytesWritten: () => bytesWritten,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** A whole HTTP answer as text; its length is added unless `headers` say otherwise. */
export function http(status: number, body: string, headers: Record<string, string> = {}): string {
  const all = { 'content-length': String(Buffer.byteLength(body)), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} It is\r\n${lines.join('')}\r\n${body}`;
}
