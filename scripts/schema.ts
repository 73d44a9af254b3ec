import { run } from './run.ts';

/** `npm run schema`: writes schema.sql and docs/schema.md anew, from a database that has all migrations. */
process.exitCode = await run(
  ['node_modules/jest/bin/jest.js', 'test/db/schema.test.ts', '--testNamePattern', 'schema\\.(sql|md)'],
  { WRITE_SCHEMA: '1' },
);
