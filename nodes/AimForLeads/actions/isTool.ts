import type { IExecuteFunctions } from 'n8n-workflow';

/** Whether an AI agent has called the node as its tool. Older versions of n8n do not say. */
export const isTool = (caller: IExecuteFunctions): boolean => caller.isToolExecution?.() === true;
