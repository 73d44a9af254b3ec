import { parseArgs } from 'node:util';
import { reconcile } from '../core/campaigns/counts/reconcile.ts';
import { connect } from '../core/db/connect.ts';

/**
 * `node scripts/reconcile.ts [--repair] [CAMPAIGN_ID …]`: counts the rows of campaigns, on DATABASE_URL, as aim_worker,
 * and says which counts are wrong; without ids, of those that nobody counted for a day. A large one takes its time.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { repair: { type: 'boolean', default: false } },
});
const databaseUrl = process.env.DATABASE_URL;
if (!databaseUrl) {
  console.error('usage: DATABASE_URL=postgres://… node scripts/reconcile.ts [--repair] [CAMPAIGN_ID …]');
  process.exit(2);
}

const hourMs = 3_600_000;
const db = connect(databaseUrl, { statementTimeoutMs: hourMs });
try {
  const proof = await reconcile(db, {
    ...(positionals.length > 0 ? { campaignIds: positionals } : {}),
    repair: values.repair,
    budgetMs: hourMs,
  });
  for (const { campaignId, batchId, entity, shown, actual } of proof.off) {
    const of = batchId ? `, batch ${batchId}` : '';
    console.log(`campaign ${campaignId}${of}: ${actual} ${entity}, but ${shown} were shown`);
  }
  for (const id of proof.unproved)
    console.log(`campaign ${id}: not counted; another run is at it, or time ran out`);
  const outcome = values.repair ? 'repaired' : 'wrong';
  console.log(`${proof.proved} campaigns counted, ${proof.off.length} counts ${outcome}`);
  process.exitCode = (proof.off.length > 0 && !values.repair) || proof.unproved.length > 0 ? 1 : 0;
} finally {
  await db.close();
}
