import type { Dispatcher } from 'undici';
import type { Db, TenantDb } from '../../core/db/connect.ts';
import type { ResearchQueue } from '../../core/research/queue.ts';

/** Called wherever a process could die, with that place's name. */
export type At = (name: string) => void;

/** Before and after each statement and each commit. A statement that is new has its failpoints by itself. */
export function failingDb(db: TenantDb, at: At): TenantDb {
  const over = (inner: Db, last: { statement: string }): Db => ({
    async query(statement) {
      at(`before ${statement.statement}`);
      last.statement = statement.statement;
      const rows = await inner.query(statement);
      at(`after ${statement.statement}`);
      return rows as never;
    },
    async transaction(work) {
      const inside = { statement: 'begin' };
      const result = await inner.transaction(async (tx) => {
        const value = await work(over(tx, inside));
        at(`before the commit of ${inside.statement}`);
        return value;
      });
      at(`after the commit of ${inside.statement}`);
      return result;
    },
  });
  return { ...over(db, { statement: '' }), forTenant: (id) => over(db.forTenant(id), { statement: '' }) };
}

/** Before a POST leaves, and after its answer has come but nobody has looked at it. */
export function failingHttp(http: Dispatcher, at: At): Dispatcher {
  return http.compose((dispatch) => (options, handler) => {
    at('before the POST');
    return dispatch(
      options,
      new Proxy(handler, {
        get(target, key) {
          if (key === 'onResponseEnd') at('after the POST');
          const value = Reflect.get(target, key);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      }),
    );
  });
}

export function failingQueue(at: At): ResearchQueue {
  return {
    async send() {
      at('before the send');
      // What was sent is lost with the process: the sweep must do without.
      at('after the send');
      return [];
    },
  };
}
