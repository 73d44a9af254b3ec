import { runRestore } from '../../core/archive/restore.ts';
import { runArchive } from '../../core/archive/run.ts';
import { connect, type Db } from '../../core/db/connect.ts';
import type { Statement } from '../../core/db/sql.ts';
import { archiver, evenly } from './archive.ts';

/*
 * An archiver that is a process, to be killed: it says each statement it was answered, and stops at the nth.
 * node test/support/archive-process.ts URL ARCHIVE archive|restore N
 */
const [url = '', archiveId = '', what, stopAt] = process.argv.slice(2);
const connection = connect(url);
let answered = 0;

const telling = (db: Db): Db => ({
  async query<Row>(statement: Statement) {
    const rows = await db.query<Row>(statement);
    if (++answered === Number(stopAt)) {
      console.log(statement.statement);
      await new Promise((resolve) => setTimeout(resolve, 600_000));
    }
    return rows;
  },
  transaction: (work) => db.transaction((tx) => work(telling(tx))),
});

const run = what === 'restore' ? runRestore : runArchive;
await run(archiver(telling(connection)), archiveId, evenly(3, 2));
await connection.close();
console.log('done');
