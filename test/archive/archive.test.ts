import { getArchive } from '../../core/archive/progress.ts';
import { startRestore } from '../../core/archive/restore.ts';
import { runArchive } from '../../core/archive/run.ts';
import { startArchive } from '../../core/archive/start.ts';
import { reconcile } from '../../core/campaigns/counts/reconcile.ts';
import { getCampaign } from '../../core/campaigns/get.ts';
import { sql } from '../../core/db/sql.ts';
import {
  archived,
  archiver,
  aVariedCampaign,
  digestOf,
  evenly,
  restored,
  whereabouts,
} from '../support/archive.ts';
import { type TestDatabase, testDatabase } from '../support/database.ts';
import { aCampaign, aTenant, aWorld } from '../support/factories.ts';
import { aFullCampaign } from '../support/full-campaign.ts';

let db: TestDatabase;
let tenantId: string;
let providerId: string;
beforeAll(async () => {
  db = await testDatabase();
});
beforeEach(async () => {
  const world = await aWorld(db, { companies: 1 });
  tenantId = world.tenantId;
  providerId = world.provider.id;
});
afterAll(() => db.close());

const api = () => db.asApi.forTenant(tenantId);

test('a campaign comes back from the archive with every column of every row as it was', async () => {
  const campaignId = await aVariedCampaign(db, tenantId, providerId, 400);
  const before = await digestOf(db, campaignId);
  const archiveId = await archived(db, tenantId, campaignId);
  expect(archiveId).toBe(campaignId);
  const kept = await whereabouts(db, campaignId);
  for (const { table, active, archived: rows } of kept) {
    expect([table, active, rows]).toEqual([table, 0, Number(before[table]?.count)]);
    expect(rows).toBeGreaterThan(0);
  }
  expect(await restored(db, tenantId, archiveId)).toMatchObject({ done: true });
  expect(await digestOf(db, campaignId)).toEqual(before);
  expect(await getCampaign({ db: api() }, tenantId, campaignId)).toMatchObject({
    archived: false,
    archivedAt: null,
  });
  expect(await db.query(sql('t')`select number from archive_chunks where archive_id = ${archiveId}`)).toEqual(
    [],
  );
});
