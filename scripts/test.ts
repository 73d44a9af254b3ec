import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { run } from './run.ts';

/** `npm test [-- PATTERN …]`: every unit and integration test. Leaves its counts in dist/test-summary.json. */
mkdirSync('dist', { recursive: true });
const report = 'dist/test-report.json';
const code = await run([
  'node_modules/jest/bin/jest.js',
  '--json',
  `--outputFile=${report}`,
  ...process.argv.slice(2),
]);
const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites } = JSON.parse(
  readFileSync(report, 'utf8'),
) as {
  numPassedTests: number;
  numFailedTests: number;
  numRuntimeErrorTestSuites: number;
};
const summary = { passed: numPassedTests, failed: numFailedTests + numRuntimeErrorTestSuites };
writeFileSync('dist/test-summary.json', JSON.stringify(summary));
console.log(`${summary.passed} passed, ${summary.failed} failed`);
process.exitCode = code;
