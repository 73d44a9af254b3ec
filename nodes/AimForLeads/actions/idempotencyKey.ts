import { createHash } from 'node:crypto';
import { type IExecuteFunctions, NodeOperationError } from 'n8n-workflow';
import { isTool } from './isTool';

/**
 * The same for every try of one item in one execution, so that a node which is retried dispatches once; different for
 * another item, loop round, execution or n8n, and for a call of an AI agent that asks something else. To a tool n8n gives
 * another round at every try.
 */
export function idempotencyKey(this: IExecuteFunctions, itemIndex: number, asked: unknown): string {
  const executionId = this.getExecutionId();
  if (!executionId) {
    throw new NodeOperationError(this.getNode(), 'This execution has no ID, so a repeat could not be told', {
      itemIndex,
    });
  }
  const place = [
    this.getInstanceId(),
    this.getWorkflow().id,
    executionId,
    this.getNode().id,
    isTool(this) ? 'tool' : this.evaluateExpression('{{ $runIndex }}', itemIndex),
    itemIndex,
  ];
  return `n8n-${createHash('sha256')
    .update(JSON.stringify([place, asked]))
    .digest('hex')
    .slice(0, 40)}`;
}
