/** Unit and integration tests: real Postgres and a real SQS protocol, started once by test/support/global-setup.ts. */
const esmOnly = [
  'p-limit',
  'yocto-queue',
  'uuid',
  'node-pg-migrate',
  'glob',
  'yargs',
  '@hono',
  'hono',
  '@asteasolutions',
];

module.exports = {
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/e2e/'],
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/.runtime', '<rootDir>/.aim'],
  transform: {
    '^.+\\.(t|j|mj|mt)s$': [
      '@swc/jest',
      {
        jsc: { target: 'es2023', parser: { syntax: 'typescript', decorators: false } },
        module: { type: 'commonjs', importInterop: 'swc' },
      },
    ],
  },
  transformIgnorePatterns: [`/node_modules/(?!(${esmOnly.join('|')})/)`],
  globalSetup: '<rootDir>/test/support/global-setup.ts',
  globalTeardown: '<rootDir>/test/support/global-teardown.ts',
  testTimeout: 30_000,
  maxWorkers: 2,
};
