import type { Db } from '../../core/db/connect.ts';
import type { Statement } from '../../core/db/sql.ts';

interface Node {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Actual Rows'?: number;
  'Actual Loops'?: number;
  'Rows Removed by Filter'?: number;
  'Shared Hit Blocks'?: number;
  'Shared Read Blocks'?: number;
  Plans?: Node[];
}

export interface Reads {
  /** Shared buffers that the statement touches: a figure that a busy machine cannot change. */
  buffers: number;
  nodes: string[];
  /** Tables that it reads from their first row to their last. */
  walked: string[];
  indexes: string[];
  /** That tables and indexes gave, those included that a filter then left out. */
  rows: number;
}

/** Runs the statement, and tells what it read. */
export async function explain(db: Db, statement: Statement): Promise<Reads> {
  const [row] = await db.query<{ 'QUERY PLAN': { Plan: Node }[] }>({
    ...statement,
    text: `explain (analyze, buffers, timing off, format json) ${statement.text}`,
  });
  const plan = row?.['QUERY PLAN'][0]?.Plan;
  if (!plan) throw new Error(`no plan for ${statement.statement}`);
  const nodes: string[] = [];
  const walked: string[] = [];
  const indexes: string[] = [];
  let rows = 0;
  const visit = (node: Node) => {
    nodes.push(node['Node Type']);
    if (node['Node Type'] === 'Seq Scan') walked.push(node['Relation Name'] ?? '');
    if (/Scan$/.test(node['Node Type']) && node['Node Type'] !== 'CTE Scan')
      rows +=
        ((node['Actual Rows'] ?? 0) + (node['Rows Removed by Filter'] ?? 0)) * (node['Actual Loops'] ?? 0);
    if (node['Index Name']) indexes.push(node['Index Name']);
    node.Plans?.forEach(visit);
  };
  visit(plan);
  return {
    buffers: (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0),
    nodes,
    walked,
    indexes,
    rows,
  };
}

/** A Db that remembers the statements sent through it, to explain them afterwards. */
export function recording(db: Db): { db: Db; statements: Statement[] } {
  const statements: Statement[] = [];
  return {
    statements,
    db: {
      ...db,
      query<Row>(statement: Statement) {
        statements.push(statement);
        return db.query<Row>(statement);
      },
    },
  };
}

/** Median ms of each of several ways to do something, measured in turn: one call of each a round. */
export async function inTurn<Name extends string>(
  rounds: number,
  ways: Record<Name, () => Promise<unknown>>,
): Promise<Record<Name, number>> {
  const names = Object.keys(ways) as Name[];
  const times = new Map<Name, number[]>(names.map((name) => [name, []]));
  // A first round warms caches and is not counted.
  for (let round = -1; round < rounds; round++) {
    for (const name of names) {
      const startedAt = performance.now();
      await ways[name]();
      if (round >= 0) times.get(name)?.push(performance.now() - startedAt);
    }
  }
  return Object.fromEntries(names.map((name) => [name, middle(times.get(name) ?? [])])) as Record<
    Name,
    number
  >;
}

function middle(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
