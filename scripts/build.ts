import { spawnSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build, stop } from 'esbuild';
import { root } from '../local/stack/paths.ts';

export const lambdas = ['api', 'dispatch', 'deliver', 'deadLetter', 'sweep', 'archive'];

/** One bundle for each Lambda, everything it needs inside: dist/lambdas/<name>.cjs. */
export async function buildLambdas(): Promise<void> {
  const { outputFiles } = await build({
    write: false,
    entryPoints: lambdas.map((name) => join(root, 'lambdas', `${name}.ts`)),
    outdir: join(root, 'dist', 'lambdas'),
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    minify: true,
    keepNames: true,
    external: ['pg-native'],
    logLevel: 'warning',
  });
  // Renamed into place: another stack may be loading a bundle at this moment.
  mkdirSync(join(root, 'dist', 'lambdas'), { recursive: true });
  for (const { path, contents } of outputFiles) {
    writeFileSync(`${path}.${process.pid}`, contents);
    renameSync(`${path}.${process.pid}`, path);
  }
  // Its service would hold 200 MB for as long as this process lives.
  await stop();
}

/** The n8n package: dist/nodes and dist/credentials, compiled, with their icons and codex files. */
function buildNodes(): void {
  for (const folder of ['nodes', 'credentials'])
    rmSync(join(root, 'dist', folder), { recursive: true, force: true });
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const compiled = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.nodes.json'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (compiled.status !== 0) throw new Error('the n8n package does not compile');
  for (const file of globSync('{nodes,credentials}/**/*.{svg,json}', { cwd: root })) {
    mkdirSync(dirname(join(root, 'dist', file)), { recursive: true });
    cpSync(join(root, file), join(root, 'dist', file));
  }
}

if (import.meta.main) {
  await buildLambdas();
  buildNodes();
  console.log('built dist/lambdas, dist/nodes and dist/credentials');
}
