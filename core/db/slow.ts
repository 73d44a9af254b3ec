import type { Statement } from './sql.ts';

export interface SlowStatements {
  /** Statements that take as long as this, or longer, are logged, failed ones too. */
  slowMs: number;
  log: (event: 'db.slow', fields: SlowStatement) => void;
}

/** Never the text or the parameters: they may carry names and addresses of people. */
export type SlowStatement = {
  /** As it was named in the code, and is found in the texts of pg_stat_statements. */
  statement: string;
  ms: number;
  /** Returned or changed; missing where the statement failed. */
  rows?: number;
  /** SQLSTATE or the name of the error. */
  failed?: string;
};

/** Runs a statement and logs it when it was slow. Waiting for a connection of the pool is not part of its time. */
export async function timed<Result extends { rowCount: number | null }>(
  { statement }: Pick<Statement, 'statement'>,
  slow: SlowStatements | undefined,
  run: () => Promise<Result>,
): Promise<Result> {
  if (!slow) return run();
  const startedAt = performance.now();
  const note = (outcome: Pick<SlowStatement, 'rows' | 'failed'>) => {
    const ms = Math.round(performance.now() - startedAt);
    if (ms >= slow.slowMs) slow.log('db.slow', { statement, ms, ...outcome });
  };
  try {
    const result = await run();
    note({ rows: result.rowCount ?? 0 });
    return result;
  } catch (error) {
    const { code, name } = error as { code?: unknown; name?: string };
    note({ failed: typeof code === 'string' ? code : (name ?? 'unknown') });
    throw error;
  }
}
