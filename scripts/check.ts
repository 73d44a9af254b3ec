import { run } from './run.ts';

/** `npm run check`: types, format, lint, n8n's own rules, and that serverless.yml can be packaged. */
const checks: [name: string, args: string[]][] = [
  ['types', ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json']],
  ['types of the n8n package', ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.nodes.json', '--noEmit']],
  ['format and lint', ['node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.']],
  ["n8n's rules", ['node_modules/eslint/bin/eslint.js', 'nodes', 'credentials', 'package.json']],
  ['build', ['scripts/build.ts']],
  [
    'serverless package',
    ['node_modules/serverless/bin/serverless.js', 'package', '--package', 'dist/serverless'],
  ],
];

const failed: string[] = [];
for (const [name, args] of checks) {
  const startedAt = Date.now();
  const code = await run(args, { SLS_TELEMETRY_DISABLED: '1', SLS_NOTIFICATIONS_MODE: 'off' });
  console.log(
    `${code === 0 ? 'ok    ' : 'FAILED'} ${name} (${((Date.now() - startedAt) / 1000).toFixed(1)} s)`,
  );
  if (code !== 0) failed.push(name);
}
console.log(`${checks.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length === 0 ? 0 : 1;
