import pg from 'pg';
import { AimError } from '../errors.ts';
import type { Statement } from './sql.ts';

/** What use cases need of a database: run a named statement, or several in one transaction. */
export interface Db {
  query<Row>(statement: Statement): Promise<Row[]>;
  /** Runs `work` in one transaction on one connection; a throw rolls it back. Nested calls join the outer one. */
  transaction<Result>(work: (db: Db) => Promise<Result>): Promise<Result>;
}

export interface Connection extends Db {
  close(): Promise<void>;
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

const connectionTroubleCodes = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EPIPE', 'ETIMEDOUT']);

/** Classes 08 (connection), 53 (resources), 57P0x (shutdown) and socket errors mean: the database, not the statement. */
function translate(cause: unknown): unknown {
  const code = (cause as { code?: unknown } | null)?.code;
  const isTrouble =
    typeof code === 'string'
      ? connectionTroubleCodes.has(code) || /^(08|53|57P0)/.test(code)
      : cause instanceof Error &&
        /^(Connection terminated|timeout exceeded when trying to connect)/.test(cause.message);
  return isTrouble ? new DatabaseUnavailable({ cause }) : cause;
}

/** bigint as a number (our counts stay below 2⁵³); times as the text Postgres sends, so that no µs is lost. */
const types: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: 'text' | 'binary') {
    if (oid === pg.types.builtins.INT8) return Number;
    if (oid === pg.types.builtins.TIMESTAMPTZ) return (text: string) => text;
    return pg.types.getTypeParser(oid, format as 'text');
  },
};

function bound(client: pg.PoolClient): Db {
  const db: Db = {
    async query<Row>(statement: Statement) {
      const result = await client.query(statement.text, statement.values);
      return result.rows as Row[];
    },
    transaction: (work) => work(db),
  };
  return db;
}

/**
 * Opens a pool that suits a Lambda behind a transaction-mode pooler: one connection a container by default, no
 * named prepared statements, no session state; timestamps stay text with their microseconds.
 */
export function connect(
  databaseUrl: string,
  options: { max?: number; statementTimeoutMs?: number } = {},
): Connection {
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

  return {
    async query<Row>(statement: Statement) {
      try {
        const result = await pool.query(statement.text, statement.values);
        return result.rows as Row[];
      } catch (error) {
        throw translate(error);
      }
    },
    async transaction(work) {
      const client = await pool.connect().catch((error: unknown) => {
        throw translate(error);
      });
      let broken: Error | undefined;
      try {
        await client.query('begin');
        const result = await work(bound(client));
        await client.query('commit');
        return result;
      } catch (error) {
        await client.query('rollback').catch((failure: Error) => {
          broken = failure;
        });
        throw translate(error);
      } finally {
        client.release(broken);
      }
    },
    close: () => pool.end(),
  };
}
