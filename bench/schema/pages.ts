import { listContacts } from '../../core/contacts/list.ts';
import { ContactQuery } from '../../core/contract/contacts.ts';
import type { Db } from '../../core/db/connect.ts';
import { sql } from '../../core/db/sql.ts';
import type { Row } from '../row.ts';
import { explain, inTurn, recording } from './explain.ts';
import type { Million } from './million.ts';

const limit = 50;
const far = 10_000;

/** Page 10,000 against page 1 of a campaign with half a million contacts, and what OFFSET costs there. */
export async function* pages(owner: Db, db: Db, { large }: Million): AsyncGenerator<Row> {
  for (const sort of ['created', 'name'] as const) {
    const page = (cursor?: string) => ({
      ...ContactQuery.parse({ campaignId: large.campaignId, sort, limit }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    // Walks there in large steps; a cursor is not tied to the size of a page.
    const walk = async (rows: number, from?: string) => {
      let at = from;
      for (let walked = 0; walked < rows; ) {
        const step = Math.min(5_000, rows - walked);
        const { data, next } = await listContacts({ db }, large.tenantId, { ...page(at), limit: step });
        walked += data.length;
        if (next === null) throw new Error(`the walk ended after ${walked} rows`);
        at = next;
      }
      return at;
    };
    // One page alone may lie on one heap page more or less: the buffers are those of five.
    const buffersFrom = async (from: string | undefined) => {
      let sum = 0;
      for (let number = 0, at = from; number < 5; number++) {
        const { db: seen, statements } = recording(db);
        const { next } = await listContacts({ db: seen }, large.tenantId, page(at));
        for (const statement of statements) sum += (await explain(db, statement)).buffers;
        at = next ?? undefined;
      }
      return sum;
    };
    const beforeLast = await walk((far - 5) * limit);
    const cursor = await walk(4 * limit, beforeLast);
    const times = await inTurn(41, {
      first: () => listContacts({ db }, large.tenantId, page()),
      last: () => listContacts({ db }, large.tenantId, page(cursor)),
    });
    const skipping = () =>
      owner.query(sql('bench.offset')`
        select id, full_name, email, title, phone, linkedin, attributes, created_at from contacts
        where campaign_id = ${large.campaignId}
        order by created_at desc, id desc offset ${(far - 1) * limit} limit ${limit}`);
    const { offset } = await inTurn(3, { offset: skipping });

    const buffers = { first: await buffersFrom(undefined), last: await buffersFrom(beforeLast) };
    yield {
      name: `page ${far} of a campaign of 500,000 contacts, by ${sort}`,
      value: times.last,
      unit: 'ms',
      versus: 'page 1',
      ratio: times.last / times.first,
      target: '≤ 1.2 × in time and buffers',
      holds: times.last <= 1.2 * times.first && buffers.last <= 1.2 * buffers.first,
      counts: {
        'buffers of pages 1 to 5': buffers.first,
        [`buffers of pages ${far - 4} to ${far}`]: buffers.last,
        'OFFSET × page 1': Math.round(offset / times.first),
      },
    };
  }
}
