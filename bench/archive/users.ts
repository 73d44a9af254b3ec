import { setTimeout as sleep } from 'node:timers/promises';
import { listContacts } from '../../core/contacts/list.ts';
import { upsertContacts } from '../../core/contacts/upsert.ts';
import { ContactQuery } from '../../core/contract/contacts.ts';
import { connect } from '../../core/db/connect.ts';
import { onOrphaned } from '../../local/stack/orphan.ts';

/**
 * A process of its own, so that what the archiver computes does not delay its clock: readers that walk through a
 * campaign page by page, and begin again at its end, and writers that insert into it. A read counts for the span in
 * which it began and ended.
 */
export interface Users {
  apiUrl: string;
  tenantId: string;
  campaignId: string;
  readers: number;
  writers: number;
  /** Between two pages of a reader, who does something with them. */
  readerPauseMs: number;
  writerPauseMs: number;
}

/** What they had to wait, by the name of the span. */
export interface Waits {
  spans: Record<string, { reads: number[]; writes: number[] }>;
  written: number;
  errors: string[];
}

const rowsPerWrite = 20;
const users = JSON.parse(process.argv[2] ?? '') as Users;
const { tenantId, campaignId } = users;
const pool = connect(users.apiUrl, { max: users.readers + users.writers });
const db = pool.forTenant(tenantId);
const waits: Waits = { spans: {}, written: 0, errors: [] };
let span: string | null = null;
let going = true;
onOrphaned(() => process.exit(0));

async function timed(kind: 'reads' | 'writes', work: () => Promise<unknown>): Promise<void> {
  const begunIn = span;
  const startedAt = performance.now();
  try {
    await work();
  } catch (error) {
    waits.errors.push(`${(error as { code?: string }).code}: ${(error as Error).message}`);
  }
  if (begunIn === null || begunIn !== span) return;
  waits.spans[begunIn] ??= { reads: [], writes: [] };
  waits.spans[begunIn][kind].push(performance.now() - startedAt);
}

async function read(): Promise<void> {
  let cursor: string | undefined;
  while (going) {
    const query = {
      ...ContactQuery.parse({ campaignId, limit: 50 }),
      ...(cursor === undefined ? {} : { cursor }),
    };
    await timed('reads', async () => {
      const { next } = await listContacts({ db }, tenantId, query);
      cursor = next ?? undefined;
    });
    await sleep(users.readerPauseMs * (0.5 + Math.random()));
  }
}

async function write(writer: number): Promise<void> {
  for (let call = 0; going; call++) {
    const rows = Array.from({ length: rowsPerWrite }, (_, n) => ({
      fullName: `Newcomer ${writer} ${call} ${n}`,
      email: `newcomer-${writer}-${call}-${n}@newcomers.example`,
    }));
    await timed('writes', async () => {
      await upsertContacts({ db }, tenantId, { campaignId, rows });
      waits.written += rows.length;
    });
    await sleep(users.writerPauseMs * (0.5 + Math.random()));
  }
}

const all = [
  ...Array.from({ length: users.readers }, read),
  ...Array.from({ length: users.writers }, (_, writer) => write(writer)),
];
process.on('message', async (message: { span: string | null } | 'end') => {
  if (message !== 'end') {
    span = message.span;
    return;
  }
  going = false;
  await Promise.all(all);
  await pool.close();
  process.send?.(waits, () => process.exit(0));
});
