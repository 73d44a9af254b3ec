import type { Db } from '../../core/db/connect.ts';
import { type Statement, sql } from '../../core/db/sql.ts';

export class Died extends Error {}

/**
 * A process that dies at its nth statement, commits included: its connection is cut before the statement is sent or
 * after it was answered, and nothing more is sent.
 * @param owner who can end a session of another
 * @returns the database as that process sees it, and how many statements it sent
 */
export function dying(db: Db, owner: Db, at: number, when: 'before' | 'after' = 'after') {
  const seen = { statements: 0, names: [] as string[] };
  let dead = false;

  const inTransaction = (tx: Db): Db => ({
    transaction: (work) => work(inTransaction(tx)),
    query: async <Row>(statement: Statement) => {
      const isLast = note(statement.statement);
      if (isLast && when === 'before') await cut(tx);
      const rows = await tx.query<Row>(statement);
      if (isLast) await die(tx);
      return rows;
    },
  });
  const note = (name: string) => {
    if (dead) throw new Died();
    seen.names.push(name);
    dead = ++seen.statements === at;
    return dead;
  };
  const cut = async (tx: Db) => {
    const [own] = await tx.query<{ pid: number }>(sql('test.pid')`select pg_backend_pid() as pid`);
    await owner.query(sql('test.cut')`select pg_terminate_backend(${own?.pid}, 5000)`);
  };
  const die = async (tx: Db) => {
    await cut(tx);
    throw new Died();
  };

  const process: Db = {
    query: async <Row>(statement: Statement) => {
      const isLast = note(statement.statement);
      const rows = isLast && when === 'before' ? [] : await db.query<Row>(statement);
      if (isLast) throw new Died();
      return rows;
    },
    async transaction(work) {
      let isLast = false;
      const result = await db.transaction(async (tx) => {
        const done = await work(inTransaction(tx));
        isLast = note('commit');
        if (isLast && when === 'before') await cut(tx);
        return done;
      });
      if (isLast) throw new Died();
      return result;
    },
  };
  return { db: process, seen };
}
