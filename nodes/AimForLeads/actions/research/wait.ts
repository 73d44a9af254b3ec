import {
  type IDataObject,
  type IExecuteFunctions,
  type IWebhookFunctions,
  type IWebhookResponseData,
  NodeOperationError,
} from 'n8n-workflow';
import { isObject } from '../../transport/problem';
import { isTool } from '../isTool';
import { readBoolean } from '../readBoolean';

export interface Wait {
  /** Resumes this execution for whoever POSTs to it: its query is a signature, so it is sent as it is. */
  url: string;
  seconds: number;
}

/**
 * The service itself ends a wait at its limit, and says so. Only if it cannot be reached for a day beyond that does n8n
 * go on by itself, with the input items: an execution never sleeps for ever.
 */
const graceMs = 24 * 60 * 60 * 1000;
/** So many of what was rejected come with the item after a sleep; n8n keeps them with the execution. */
const keptRejected = 100;

/** @returns how long this item's dispatch is waited for, or undefined when it is not */
export function readWait(this: IExecuteFunctions, itemIndex: number): Wait | undefined {
  const isWanted = readBoolean.call(this, 'wait', 'Wait for Completion', itemIndex);
  if (!isWanted || readBoolean.call(this, 'dryRun', 'Dry Run', itemIndex)) return undefined;
  if (isTool(this)) {
    throw new NodeOperationError(this.getNode(), 'A tool of an AI agent cannot wait for completion', {
      description:
        'Turn Wait for Completion off: n8n would put the agent to sleep. Nothing was dispatched. The end of the batch can be awaited behind the agent, by a workflow without one.',
      itemIndex,
    });
  }
  if (this.getInputData().length > 1) {
    throw new NodeOperationError(this.getNode(), 'Wait for Completion takes one input item', {
      description:
        'An execution can sleep for one batch only. Turn on Execute Once in the settings and give a list of companies, or loop over the items one by one. Nothing was dispatched.',
      itemIndex,
    });
  }
  const hours = Number(this.getNodeParameter('waitHours', itemIndex, 168));
  const seconds = Math.round(hours * 3600);
  if (!(seconds >= 1 && seconds <= 720 * 3600)) {
    throw new NodeOperationError(this.getNode(), 'Limit Wait To must be between 0.01 and 720 hours', {
      itemIndex,
    });
  }
  const url = this.evaluateExpression('{{ $execution.resumeUrl }}', itemIndex);
  if (typeof url !== 'string' || url === '') {
    throw new NodeOperationError(this.getNode(), 'This execution cannot be resumed, so it cannot wait', {
      itemIndex,
    });
  }
  return { url, seconds };
}

/**
 * Asks n8n to put the execution to sleep for this batch once the node is done. A resume that comes before gets 409 and
 * comes again.
 */
export async function sleepUntil(
  this: IExecuteFunctions,
  { seconds }: Wait,
  batchId: string,
  rejected: IDataObject[],
): Promise<void> {
  const kept = { batchId, rejectedCount: rejected.length, rejected: rejected.slice(0, keptRejected) };
  Object.assign(this.getContext('node'), kept);
  await this.putExecutionToWait(new Date(Date.now() + seconds * 1000 + graceMs));
}

/**
 * The one item with which a sleeping execution goes on: what the service says of the batch. All waits of an execution
 * have the same URL, so in a loop the repeat of an earlier resume, whose answer was lost, may come to a later wait: it
 * is taken, so that it ends, and wakes nothing.
 */
export function wake(this: IWebhookFunctions): IWebhookResponseData {
  const body: unknown = this.getBodyData();
  // What is not from the service, if only empty, wakes nothing: an error here would have n8n go on with nothing.
  const said = isObject(body) ? body : {};
  const { batchId: awaited, rejectedCount, rejected } = keptBefore.call(this);
  if (typeof said.batchId !== 'string' || (awaited !== undefined && said.batchId !== awaited)) {
    return { webhookResponse: { resumed: false } };
  }
  const timedOut = said.type !== 'batch.ended';
  const json: IDataObject = {
    ...said,
    timedOut,
    ...(rejectedCount !== undefined && { rejectedCount, rejected }),
  };
  return { webhookResponse: { resumed: true }, workflowData: [[{ json, pairedItem: { item: 0 } }]] };
}

/** What `sleepUntil` kept in the node's context: in a webhook, n8n hands that out to expressions alone. */
function keptBefore(this: IWebhookFunctions): IDataObject {
  // A name may hold what ends an expression, or what n8n allows in none.
  const name = this.getNode().name.replace(
    /[^A-Za-z0-9 ]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  const kept = (key: string) => this.evaluateExpression(`{{ $("${name}").context.${key} }}`) ?? undefined;
  return { batchId: kept('batchId'), rejectedCount: kept('rejectedCount'), rejected: kept('rejected') };
}
