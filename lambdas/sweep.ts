import type { Context } from 'aws-lambda';
import { sweep } from '../core/research/sweep.ts';
import { deps } from './deps.ts';

/** Every minute: the safety net below the conveyor. */
export async function handler(_event: unknown, context: Context): Promise<void> {
  await sweep(deps(), { remainingMs: () => context.getRemainingTimeInMillis() });
}
