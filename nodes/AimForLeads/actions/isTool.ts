import type { IExecuteFunctions } from 'n8n-workflow';

/**
 * Whether an AI agent has called the node as its tool. n8n says so only of agents up to version 2; those from 3 on run a
 * tool like any node, and its type alone, which n8n makes for tools, tells.
 */
export const isTool = (caller: IExecuteFunctions): boolean =>
  caller.isToolExecution?.() === true || caller.getNode().type.endsWith('Tool');
