import { parseArgs } from 'node:util';
import { onOrphaned } from '../local/stack/orphan.ts';
import { archive } from './archive.ts';
import { engineGroup } from './engine.ts';
import type { Group, Row } from './row.ts';
import { schema } from './schema.ts';
import { skeleton } from './skeleton.ts';

/**
 * `npm run bench [-- GROUP … --json --check]`: each row is one figure with the counts that noise cannot touch. With
 * `--check` the exit code is 1 when a row misses its target.
 */
const groups: Record<string, Group> = { skeleton, schema, engine: engineGroup, archive };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false }, check: { type: 'boolean', default: false } },
});
const unknown = positionals.filter((name) => !(name in groups));
if (unknown.length > 0) {
  console.error(`unknown group ${unknown.join(', ')}; there are: ${Object.keys(groups).join(', ')}`);
  process.exit(2);
}
onOrphaned(() => process.exit(1));

const rows: Row[] = [];
for (const [name, group] of Object.entries(groups)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  for await (const row of group()) {
    rows.push(row);
    console.log(values.json ? JSON.stringify({ group: name, ...row }) : line(name, row));
  }
}
const missed = rows.filter((row) => row.holds === false);
if (values.check) {
  console.error(
    missed.length === 0 ? 'every target holds' : `missed: ${missed.map((row) => row.name).join(', ')}`,
  );
}
process.exit(values.check && missed.length > 0 ? 1 : 0);

function line(group: string, { name, value, unit, versus, ratio, target, holds, counts }: Row): string {
  const verdict = holds === null ? '' : holds ? ' ✓' : ' ✗ MISSED';
  const against = ratio === null ? '' : ` · ${ratio.toFixed(2)} × ${versus}`;
  const details = Object.entries(counts).map(([what, count]) => `${what} ${count}`);
  return `${group} · ${name}: ${value.toFixed(value < 10 ? 2 : 0)} ${unit}${against}${target ? ` (target ${target})` : ''}${verdict} · ${details.join(', ')}`;
}
