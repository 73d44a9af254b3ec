import pg from 'pg';

/** The part of node-postgres's wire connection that COPY needs; its own types leave it out. */
interface Wire {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/** Runs `copy … from stdin` with these lines of text, on a connection that may be in a transaction. */
export function copyIn(client: pg.Client, text: string, lines: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: Error | undefined;
    const copy = {
      submit: (wire: Wire) => wire.query(text),
      handleCopyInResponse(wire: Wire) {
        wire.sendCopyFromChunk(Buffer.from(`${lines.join('\n')}\n`));
        wire.endCopyFrom();
      },
      handleCommandComplete: () => undefined,
      handleError(error: Error) {
        failure = error;
      },
      handleReadyForQuery: () => (failure ? reject(failure) : resolve()),
    };
    client.query(copy as unknown as pg.Submittable);
  });
}

export async function aClientOf(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}
