import { parseArgs } from 'node:util';
import { z } from 'zod';
import { Scope } from '../core/contract/keys.ts';
import { connect } from '../core/db/connect.ts';
import { sql } from '../core/db/sql.ts';
import { createKey } from '../core/keys/create.ts';

const allScopes = Scope.options;
const usage = `usage: DATABASE_URL=postgres://… node scripts/create-key.ts --name NAME [--tenant ID] [--scopes ${allScopes.join(',')}]
  Makes an API key and prints it, once. DATABASE_URL: as the owner of the tables.
  --tenant  whose key; without it a new tenant is made (on Supabase: the id of a user, who must exist)
  --scopes  what it may do; all unless given`;

/** `node scripts/create-key.ts`: the first key of a deployment, and any after it. */
const databaseUrl = process.env.DATABASE_URL;
const asked = readArguments();
if (!databaseUrl || !asked) {
  console.error(usage);
  process.exit(2);
}
const db = connect(databaseUrl);
try {
  const made = await db.transaction(async (tx) => {
    const tenantId = asked.tenant ?? (await newTenant(tx));
    return { tenantId, ...(await createKey({ db: tx }, tenantId, asked)) };
  });
  console.log(`tenant  ${made.tenantId}\nkey     ${made.key}\nIt is not shown again: only its hash is kept.`);
} finally {
  await db.close();
}

async function newTenant(tx: Pick<typeof db, 'query'>): Promise<string> {
  const [row] = await tx.query<{ id: string }>(sql('keys.tenant')`
    insert into auth.users (id) values (gen_random_uuid()) returning id`);
  if (!row) throw new Error('insert returned no row');
  return row.id;
}

function readArguments() {
  try {
    const { values } = parseArgs({
      options: { name: { type: 'string' }, tenant: { type: 'string' }, scopes: { type: 'string' } },
    });
    const scopes = values.scopes?.split(',').map((scope) => scope.trim()) ?? [...allScopes];
    return z
      .object({
        name: z.string().trim().min(1).max(200),
        tenant: z.guid().optional(),
        scopes: z.array(Scope).min(1),
      })
      .parse({ ...values, scopes });
  } catch (error) {
    console.error(error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message);
    return undefined;
  }
}
