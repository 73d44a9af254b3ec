import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCampaign } from '../../core/campaigns/create.ts';
import type { Db } from '../../core/db/connect.ts';
import { median, type Row } from '../row.ts';
import { run } from './million.ts';
import { someRows } from './triggers.ts';

const rows = 50_000;
const rowsPerCall = 1_000;
const rounds = 3;

/** POST /v1/contacts/bulk, from the body's JSON to its answer, against the server's own COPY from a file. */
export async function* copy(
  db: Db,
  tenantId: string,
  post: (path: string, body: unknown) => Promise<Response>,
): AsyncGenerator<Row> {
  const folder = mkdtempSync(join(tmpdir(), 'aim-copy-'));
  chmodSync(folder, 0o755);
  const api: number[] = [];
  const copied: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const bulk = await createCampaign({ db }, tenantId, { name: 'bulk' });
    let startedAt = performance.now();
    for (let from = 0; from < rows; from += rowsPerCall) {
      const answer = await post('/v1/contacts/bulk', {
        campaignId: bulk.id,
        rows: someRows(from, rowsPerCall),
      });
      if (answer.status !== 200) throw new Error(`bulk answered ${answer.status}`);
      await answer.json();
    }
    api.push((performance.now() - startedAt) / 1000);
    await clear(db, bulk.id);

    const { id } = await createCampaign({ db }, tenantId, { name: 'copy' });
    const file = join(folder, 'contacts.csv');
    const lines = someRows(0, rows).map(
      (row) => `${tenantId},${id},${row.fullName},${row.email},${row.title}`,
    );
    writeFileSync(file, lines.join('\n'), { mode: 0o644 });
    startedAt = performance.now();
    await run(
      db,
      `copy contacts (user_id, campaign_id, full_name, email, title) from '${file}' with (format csv)`,
    );
    copied.push((performance.now() - startedAt) / 1000);
    await clear(db, id);
  }
  rmSync(folder, { recursive: true });
  const ratio = median(copied) / median(api);
  yield {
    name: `bulk upsert of ${rows} contacts through the API`,
    value: rows / median(api),
    unit: 'rows/s',
    versus: 'COPY of the same rows into the same table',
    ratio,
    target: '≥ 0.4 ×',
    holds: ratio >= 0.4,
    counts: { 'COPY rows/s': Math.round(rows / median(copied)), calls: rows / rowsPerCall, rounds },
  };
}

async function clear(db: Db, campaignId: string): Promise<void> {
  await run(db, `delete from contacts where campaign_id = '${campaignId}'`);
  await run(db, 'vacuum contacts');
}
