import pg from 'pg';
import type { Statement } from './sql.ts';

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The only text that a value is written into, hence the look at it. */
export function beginAs(tenantId: string): string {
  return `begin; select /* tenant.bind */ set_config('request.jwt.claim.sub', '${tenant(tenantId)}', true)`;
}

/** @throws TypeError for what is not a UUID in lower case, as Postgres writes it */
export function tenant(id: string): string {
  if (!uuid.test(id)) throw new TypeError('a tenant is bound by its id, a UUID');
  return id;
}

/** What pg.Query has besides its types: the hooks that its client calls, as for pg-cursor and its like. */
interface Hooks {
  prepare(connection: pg.Connection): void;
  requiresPreparation(): boolean;
  handleDataRow(message: unknown): void;
  handleCommandComplete(message: unknown, connection: pg.Connection): void;
}
const Query = pg.Query as unknown as new (
  config: pg.QueryConfig,
  callback: (error: Error | undefined, result: pg.QueryResult) => void,
) => pg.Submittable & Hooks;

const bindOnly = "select /* tenant.bind */ set_config('request.jwt.claim.sub', $1, true)";
const bindWalking = `${bindOnly}, set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true)`;

/**
 * One statement as one tenant in one round trip: the binding goes ahead of it in the same group of messages, up to one
 * Sync, which Postgres runs as one transaction. It commits when both succeed; after an error the server itself skips to
 * the Sync and rolls back, so nothing is left open whatever happens, and a transaction-mode pooler sees one transaction.
 */
class BoundQuery extends Query {
  private readonly tenantId: string;
  private readonly walks: boolean;
  private bound = false;

  constructor(
    tenantId: string,
    { text, values, walks = false }: Statement,
    done: (error: Error | undefined, result: pg.QueryResult) => void,
  ) {
    super({ text, values }, done);
    this.tenantId = tenantId;
    this.walks = walks;
  }

  override requiresPreparation(): boolean {
    return true;
  }

  override prepare(connection: pg.Connection): void {
    const bind = this.walks ? bindWalking : bindOnly;
    connection.parse({ name: '', text: bind, types: [] }, true);
    connection.bind({ values: [this.tenantId] }, true);
    connection.execute(null, true);
    super.prepare(connection);
  }

  // The row and the end of the binding come first; they are not the statement's.
  override handleDataRow(message: unknown): void {
    if (this.bound) super.handleDataRow(message);
  }

  override handleCommandComplete(message: unknown, connection: pg.Connection): void {
    if (this.bound) super.handleCommandComplete(message, connection);
    else this.bound = true;
  }
}

/** @param tenantId checked by `tenant` */
export function queryAs(client: pg.ClientBase, tenantId: string, statement: Statement) {
  return new Promise<pg.QueryResult>((resolve, reject) => {
    client.query(
      new BoundQuery(tenantId, statement, (error, result) => (error ? reject(error) : resolve(result))),
    );
  });
}
