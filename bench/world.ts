import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Connection, connect, type Db } from '../core/db/connect.ts';
import { applyMigrations } from '../core/db/migrate.ts';
import { type Statement, sql } from '../core/db/sql.ts';
import { startPostgres } from '../local/stack/postgres.ts';

/** Statements and transactions sent so far, by name. */
export interface Meter {
  statements: number;
  byName: Map<string, number>;
}

export interface World {
  /** Of the database, as its owner. */
  url: string;
  /** The server's log, `postgres.log`, is in it. */
  home: string;
  db: Connection;
  meter: Meter;
  tenantId: string;
  campaignId: string;
  close(): Promise<void>;
}

function metered(db: Connection, meter: Meter): Connection {
  const note = (statement: Statement) => {
    meter.statements++;
    meter.byName.set(statement.statement, (meter.byName.get(statement.statement) ?? 0) + 1);
  };
  const over = (inner: Db): Db => ({
    query<Row>(statement: Statement) {
      note(statement);
      return inner.query<Row>(statement);
    },
    transaction(work) {
      meter.statements += 2; // begin and commit
      return inner.transaction((tx) => {
        const nested: Db = {
          query<Row>(statement: Statement) {
            note(statement);
            return tx.query<Row>(statement);
          },
          transaction: (more) => more(nested),
        };
        return work(nested);
      });
    },
  });
  return { ...over(db), forTenant: (tenantId) => over(db.forTenant(tenantId)), close: () => db.close() };
}

/** A Postgres of its own, migrated, with one tenant and one campaign, that counts the statements sent to it. */
export async function aWorld(): Promise<World> {
  const home = mkdtempSync(join(tmpdir(), 'aim-bench-'));
  mkdirSync(home, { recursive: true });
  const postgres = await startPostgres({ home, log: join(home, 'postgres.log') });
  await applyMigrations(postgres.url);
  const meter: Meter = { statements: 0, byName: new Map() };
  const db = metered(connect(postgres.url, { max: 8 }), meter);
  const tenantId = randomUUID();
  await db.query(sql('bench.tenant')`insert into auth.users (id) values (${tenantId})`);
  const [campaign] = await db.query<{ id: string }>(sql('bench.campaign')`
    insert into campaigns (user_id, name) values (${tenantId}, 'bench') returning id`);
  return {
    url: postgres.url,
    home,
    db,
    meter,
    tenantId,
    campaignId: campaign?.id ?? '',
    async close() {
      await db.close();
      await postgres.remove();
      rmSync(home, { recursive: true, force: true });
    },
  };
}
