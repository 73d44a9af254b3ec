import {
  type IDataObject,
  type IExecuteFunctions,
  type INodeProperties,
  NodeOperationError,
  sleep,
} from 'n8n-workflow';
import { readBoolean } from './readBoolean';

const firstMs = 500;
const longestMs = 15_000;
const longestMinutes = 24 * 60;

/** Whether an operation that only begins something goes on until it is done. */
export function waitFields(show: Record<string, string[]>): INodeProperties[] {
  return [
    {
      displayName: 'Wait Until Done',
      name: 'waitUntilDone',
      type: 'boolean',
      default: false,
      description: 'Whether to go on only when it is done, and not as soon as it is begun',
      displayOptions: { show },
    },
    {
      displayName: 'Limit Wait To (Minutes)',
      name: 'waitMinutes',
      type: 'number',
      typeOptions: { minValue: 1, maxValue: longestMinutes },
      default: 60,
      description:
        'Go on after so many minutes at the latest, with "timedOut" set in the output. What was begun goes on by itself.',
      displayOptions: { show: { ...show, waitUntilDone: [true] } },
    },
  ];
}

/** @returns after how many minutes to go on at the latest, or undefined when nothing is waited for */
export function readWait(this: IExecuteFunctions, itemIndex: number): number | undefined {
  if (!readBoolean.call(this, 'waitUntilDone', 'Wait Until Done', itemIndex)) return undefined;
  const minutes = Number(this.getNodeParameter('waitMinutes', itemIndex, 60));
  if (minutes > 0 && minutes <= longestMinutes) return minutes;
  const message = `Limit Wait To must be between 1 and ${longestMinutes} minutes`;
  throw new NodeOperationError(this.getNode(), message, { itemIndex });
}

/**
 * Looks again and again, soon at first and every 15 s in the end, until it is done, the time is up, or the execution is
 * stopped.
 * @returns what the last look gave, with `timedOut`
 */
export async function until(
  this: IExecuteFunctions,
  minutes: number,
  look: () => Promise<{ json: IDataObject; done: boolean }>,
): Promise<IDataObject> {
  const deadline = Date.now() + minutes * 60_000;
  for (let waitMs = firstMs; ; waitMs = Math.min(waitMs * 1.5, longestMs)) {
    const { json, done } = await look();
    const leftMs = deadline - Date.now();
    const isStopped = this.getExecutionCancelSignal()?.aborted === true;
    if (done || leftMs <= 0 || isStopped) return { ...json, timedOut: !done };
    await sleep(Math.min(waitMs, leftMs));
  }
}
