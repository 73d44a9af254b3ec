import pg from 'pg';
import { AimError, Conflict } from '../errors.ts';
import { type SlowStatements, timed } from './slow.ts';
import type { Statement } from './sql.ts';
import { beginAs, queryAs, tenant } from './tenant.ts';

/** What use cases need of a database: run a named statement, or several in one transaction. */
export interface Db {
  query<Row>(statement: Statement): Promise<Row[]>;
  /** Runs `work` in one transaction on one connection; a throw rolls it back. Nested calls join the outer one. */
  transaction<Result>(work: (db: Db) => Promise<Result>): Promise<Result>;
}

/** A database before it is known who asks. */
export interface TenantDb extends Db {
  /** The same database, every statement and transaction bound to this tenant, who sees his own rows alone. */
  forTenant(tenantId: string): Db;
}

export interface Connection extends TenantDb {
  close(): Promise<void>;
}

export interface ConnectOptions {
  /** Connections of this pool; one by default, as a Lambda serves one request at a time. */
  max?: number;
  /** After this a statement without answer is given up, and its connection with it; a minute by default. */
  statementTimeoutMs?: number;
  slow?: SlowStatements;
}

export class DatabaseUnavailable extends AimError {
  constructor(options?: ErrorOptions) {
    super(
      'the database cannot be reached; try again',
      { code: 'unavailable', status: 503, retryable: true },
      options,
    );
  }
}

const connectionTroubleCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
]);

/**
 * Classes 08 (connection), 53 (resources), 57P0x (shutdown) and socket errors mean: the database, not the statement. So
 * does 25006, for nothing of ours is read-only: it was the primary, and another one is now; and a statement that got no
 * answer in time, as when packets are dropped.
 */
function translate(cause: unknown): unknown {
  const code = (cause as { code?: unknown } | null)?.code;
  // Raised by the guard of archived campaigns, whose message names the campaign.
  if (code === 'AIM02') return new Conflict('campaign_archived', (cause as Error).message, { cause });
  const isTrouble =
    typeof code === 'string'
      ? connectionTroubleCodes.has(code) || /^(08|25006|53|57P0)/.test(code)
      : cause instanceof Error &&
        /^(Connection terminated|Query read timeout|timeout exceeded when trying to connect|Client has encountered a connection error)/.test(
          cause.message,
        );
  if (cause instanceof pg.DatabaseError) withoutValues(cause);
  return isTrouble ? new DatabaseUnavailable({ cause }) : cause;
}

/** Whatever logs an error with all that it has must find no row's values in it: an address, a piece of a result. */
function withoutValues(error: pg.DatabaseError): void {
  for (const field of ['detail', 'where', 'hint', 'internalQuery'] as const) delete error[field];
}

/** The server refused the statement, nothing more: the connection stays good. */
function isRefusal(error: unknown): boolean {
  return error instanceof pg.DatabaseError && !(translate(error) instanceof DatabaseUnavailable);
}

/** bigint as a number (our counts stay below 2⁵³); times as the text Postgres sends, so that no µs is lost. */
const types: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: 'text' | 'binary') {
    if (oid === pg.types.builtins.INT8) return Number;
    if (oid === pg.types.builtins.TIMESTAMPTZ) return (text: string) => text;
    return pg.types.getTypeParser(oid, format as 'text');
  },
};

/** A connection of the pool while somebody has it. */
interface Loan {
  client: pg.PoolClient;
  /** It is not known to be in order. */
  broken: boolean;
}

/**
 * Opens a pool that suits a Lambda behind a transaction-mode pooler: one connection a container by default, no
 * named prepared statements, no session state, no parameter at the start that a pooler would refuse; timestamps stay
 * text with their microseconds.
 */
export function connect(databaseUrl: string, options: ConnectOptions = {}): Connection {
  const { slow } = options;
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max: options.max ?? 1,
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 60_000,
    allowExitOnIdle: true,
    types,
    query_timeout: options.statementTimeoutMs ?? 60_000,
  });
  // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
  pool.on('error', () => undefined);

  /** Lends a connection; one that may not be in order any more is closed and not given to anybody else. */
  async function lent<Result>(use: (loan: Loan) => Promise<Result>): Promise<Result> {
    let client: pg.PoolClient | undefined;
    const loan = { broken: false };
    // While it is lent the pool does not listen; what broke shows in the statement that is running, or in the next.
    const note = () => {
      loan.broken = true;
    };
    try {
      client = await pool.connect();
      client.on('error', note);
      return await use(Object.assign(loan, { client }));
    } catch (error) {
      throw translate(error);
    } finally {
      client?.removeListener('error', note);
      client?.release(loan.broken);
    }
  }

  /** Whatever is not the server's refusal leaves the connection in a state that nobody knows. */
  async function watched(loan: Loan, send: () => Promise<pg.QueryResult>): Promise<pg.QueryResult> {
    try {
      return await send();
    } catch (error) {
      if (!isRefusal(error)) loan.broken = true;
      throw error;
    }
  }

  async function run<Row>(
    loan: Loan,
    statement: Statement,
    send: () => Promise<pg.QueryResult>,
  ): Promise<Row[]> {
    const result = await watched(loan, () => timed(statement, slow, send));
    return result.rows as Row[];
  }

  function inTransaction<Result>(begin: string, work: (db: Db) => Promise<Result>): Promise<Result> {
    return lent(async (loan) => {
      const { client } = loan;
      let open = true;
      const db: Db = {
        query: async <Row>(statement: Statement) => {
          // Afterwards the connection is another's, and so is its tenant.
          if (!open) throw new Error(`${statement.statement} came after the end of its transaction`);
          return run<Row>(loan, statement, () => client.query(statement.text, statement.values));
        },
        transaction: (nested) => nested(db),
      };
      try {
        await watched(loan, () => client.query(begin));
        const result = await work(db);
        open = false;
        const { command } = await watched(loan, () =>
          timed({ statement: 'commit' }, slow, () => client.query('commit')),
        );
        if (command !== 'COMMIT')
          throw new Error('the transaction was rolled back: a statement in it had failed');
        return result;
      } catch (error) {
        open = false;
        if (!loan.broken) await client.query('rollback').catch(() => Object.assign(loan, { broken: true }));
        throw error;
      }
    });
  }

  return {
    query: <Row>(statement: Statement) =>
      lent((loan) => run<Row>(loan, statement, () => loan.client.query(statement.text, statement.values))),
    transaction: (work) => inTransaction('begin', work),
    forTenant(tenantId) {
      const id = tenant(tenantId);
      return {
        query: <Row>(statement: Statement) =>
          lent((loan) => run<Row>(loan, statement, () => queryAs(loan.client, id, statement))),
        transaction: (work) => inTransaction(beginAs(id), work),
      };
    },
    close: () => pool.end(),
  };
}
