import { parseArgs } from 'node:util';
import { connect } from '../core/db/connect.ts';
import { deleteTenant } from '../core/tenants/delete.ts';

/**
 * `node scripts/delete-tenant.ts ID --yes [--user]`: deletes all that a tenant has, on DATABASE_URL, as aim_worker or
 * the owner. `--user` deletes the user's own row too, which takes the owner. Interrupted, it is run again.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { yes: { type: 'boolean' }, user: { type: 'boolean' } },
});
const databaseUrl = process.env.DATABASE_URL;
const [tenantId, ...rest] = positionals;
const isId = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(tenantId ?? '');
if (!databaseUrl || !tenantId || !isId || rest.length > 0 || !values.yes) {
  console.error('usage: DATABASE_URL=postgres://… node scripts/delete-tenant.ts TENANT_ID --yes [--user]');
  console.error('There is no way back; --yes says that you know.');
  process.exit(2);
}

const db = connect(databaseUrl);
try {
  let campaigns = 0;
  for (;;) {
    const deleted = await deleteTenant(db, tenantId, { budgetMs: 10_000, includeUser: values.user ?? false });
    campaigns += deleted.campaigns;
    if (deleted.done) {
      console.log(
        `tenant ${tenantId}: ${campaigns} campaigns and everything else deleted, user ${deleted.user}`,
      );
      break;
    }
    console.log(`tenant ${tenantId}: ${campaigns} campaigns deleted so far`);
    // What others hold is let go within seconds.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
} finally {
  await db.close();
}
