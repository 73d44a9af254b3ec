import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onOrphaned } from '../../local/stack/orphan.ts';

/** A provider in a process of its own that answers at once; tells its parent the port. */
interface Ask {
  requests: { jobId: string; attemptId: string }[];
}
onOrphaned(() => process.exit(0));
const server = createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    const { requests } = JSON.parse(Buffer.concat(parts).toString('utf8')) as Ask;
    const results = requests.map(({ jobId, attemptId }) => ({
      jobId,
      attemptId,
      status: 'completed',
      research: { summary: 'found', findings: { employees: 7 } },
    }));
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ results }));
  });
});
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
