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
export async function* pages(db: Db, { large }: Million): AsyncGenerator<Row> {
  for (const sort of ['created', 'name'] as const) {
    const page = (cursor?: string) => ({
      ...ContactQuery.parse({ campaignId: large.campaignId, sort, limit }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    // Walks there in large steps; a cursor is not tied to the size of a page.
    let cursor: string | undefined;
    for (let walked = 0; walked < (far - 1) * limit; ) {
      const step = Math.min(5_000, (far - 1) * limit - walked);
      const { data, next } = await listContacts({ db }, large.tenantId, { ...page(cursor), limit: step });
      walked += data.length;
      if (next === null) throw new Error(`the walk ended after ${walked} rows`);
      cursor = next;
    }
    const times = await inTurn(41, {
      first: () => listContacts({ db }, large.tenantId, page()),
      last: () => listContacts({ db }, large.tenantId, page(cursor)),
    });
    const skipping = () =>
      db.query(sql('bench.offset')`
        select id, full_name, email, title, phone, linkedin, attributes, created_at from contacts
        where campaign_id = ${large.campaignId}
        order by created_at desc, id desc offset ${(far - 1) * limit} limit ${limit}`);
    const { offset } = await inTurn(3, { offset: skipping });

    const { db: seen, statements } = recording(db);
    await listContacts({ db: seen }, large.tenantId, page());
    await listContacts({ db: seen }, large.tenantId, page(cursor));
    const [first, last] = await Promise.all(statements.map((statement) => explain(db, statement)));
    const buffers = { first: first?.buffers ?? 0, last: last?.buffers ?? Number.NaN };
    yield {
      name: `page ${far} of a campaign of 500,000 contacts, by ${sort}`,
      value: times.last,
      unit: 'ms',
      versus: 'page 1',
      ratio: times.last / times.first,
      target: '≤ 1.2 × in time and buffers',
      holds: times.last <= 1.2 * times.first && buffers.last <= 1.2 * buffers.first,
      counts: {
        'buffers of page 1': buffers.first,
        [`buffers of page ${far}`]: buffers.last,
        'OFFSET × page 1': Math.round(offset / times.first),
      },
    };
  }
}
