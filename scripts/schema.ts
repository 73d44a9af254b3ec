import { run } from './run.ts';

/** `npm run schema`: writes schema.sql anew, from a database that has all migrations. */
process.exitCode = await run(
  ['node_modules/jest/bin/jest.js', 'test/db/schema.test.ts', '--testNamePattern', 'schema.sql'],
  { WRITE_SCHEMA: '1' },
);
