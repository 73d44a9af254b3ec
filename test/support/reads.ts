import { explain, type Reads } from '../../bench/schema/explain.ts';
import type { Db } from '../../core/db/connect.ts';
import { type Statement, sql } from '../../core/db/sql.ts';

class Enough extends Error {}

/** What each statement reads as it is sent: it is run beforehand, explained, and taken back. */
export function explaining(inner: Db, reads: Map<string, Reads[]>): Db {
  const look = async (by: Db, statement: Statement) => {
    let seen: Reads | undefined;
    if (statement.walks) seen = await explain(by, statement);
    else
      await by
        .transaction(async (tx) => {
          seen = await explain(tx, statement);
          throw new Enough();
        })
        .catch((error: unknown) => {
          if (!(error instanceof Enough)) throw error;
        });
    if (seen) reads.set(statement.statement, [...(reads.get(statement.statement) ?? []), seen]);
  };
  return {
    async query<Row>(statement: Statement) {
      await look(inner, statement);
      return inner.query<Row>(statement);
    },
    transaction: (work) =>
      inner.transaction((tx) =>
        work({
          async query<Row>(statement: Statement) {
            await tx.query(sql('t')`savepoint look`);
            const seen = await explain(tx, statement);
            reads.set(statement.statement, [...(reads.get(statement.statement) ?? []), seen]);
            await tx.query(sql('t')`rollback to savepoint look`);
            return tx.query<Row>(statement);
          },
          transaction: (more) => more(tx),
        }),
      ),
  };
}

/** Rows that tables and indexes gave to the statements of this name, all together. */
export function rowsOf(reads: Map<string, Reads[]>, name: string): number {
  const found = reads.get(name);
  if (!found) throw new Error(`${name} was not sent, but ${[...reads.keys()].join()}`);
  return found.reduce((sum, each) => sum + each.rows, 0);
}
