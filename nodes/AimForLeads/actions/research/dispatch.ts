import {
  type IDataObject,
  type IExecuteFunctions,
  type INodePropertyOptions,
  NodeOperationError,
} from 'n8n-workflow';
import { isId } from '../../pickers/id';
import { type FieldProblem, nodeError } from '../../transport/problem';
import { type ApiRequest, request } from '../../transport/request';
import { idempotencyKey } from '../idempotencyKey';
import { readBoolean } from '../readBoolean';
import { readTime } from '../readTime';
import { readWhole } from '../readWhole';
import { refuseBlank } from '../refuseBlank';
import { type Part, readCompanies } from './companies';
import { readWait, sleepUntil } from './wait';

export { fields } from './dispatchFields';

export const option: INodePropertyOptions = {
  name: 'Dispatch',
  value: 'dispatch',
  action: 'Dispatch research',
  description: 'Have companies researched by a provider: makes a batch with one job for each company',
};

/**
 * Makes one batch for the input item. More than 1,000 companies go in several calls that build the same batch, each
 * with its own Idempotency-Key, so that a repeat after a crash in the middle finishes the batch it began. With Wait for
 * Completion the execution then sleeps, even when nothing was accepted: the end of the empty batch wakes it.
 */
export async function execute(this: IExecuteFunctions, itemIndex: number): Promise<IDataObject[]> {
  const { campaignId, body } = readRequest.call(this, itemIndex);
  const wait = readWait.call(this, itemIndex);
  const parts = readCompanies.call(this, itemIndex);
  const key = idempotencyKey.call(this, itemIndex, [
    campaignId,
    body.provider,
    body.kind,
    body.dryRun,
    parts,
  ]);

  const total = { accepted: 0, deduplicated: 0, rejected: [] as IDataObject[] };
  let reply: IDataObject = {};
  let batchId: string | null = null;
  for (const [index, part] of parts.entries()) {
    const asked: ApiRequest = {
      method: 'POST',
      path: `/v1/campaigns/${campaignId}/research`,
      body: {
        ...body,
        ...(wait && { resumeUrl: wait.url, resumeWithinSeconds: wait.seconds }),
        ...part.selection,
        final: index === parts.length - 1,
        ...(batchId !== null && { batchId }),
      },
      has: ['batchId', 'accepted'],
      idempotencyKey: `${key}-${index + 1}`,
      itemIndex,
    };
    try {
      reply = await request.call(this, asked);
    } catch (thrown) {
      const error = nodeError(this.getNode(), thrown, itemIndex);
      if (batchId !== null) {
        const begun = begunBatch(batchId, total.accepted, part, asked.path);
        error.description = error.description ? `${error.description}\n${begun}` : begun;
      }
      throw error;
    }
    if (typeof reply.batchId === 'string') batchId = reply.batchId;
    total.accepted += Number(reply.accepted);
    total.deduplicated += Number(reply.deduplicated);
    total.rejected.push(...located(reply.rejected, part));
  }
  hintAtRejected.call(this, total.rejected.length, itemIndex);
  if (wait && batchId !== null) await sleepUntil.call(this, wait, batchId, total.rejected);
  return [
    {
      ...reply,
      batchId,
      ...total,
      dryRun: body.dryRun === true,
    },
  ];
}

/**
 * What to do about a batch of which a part failed for good. It is not sealed here, for then a node that is tried again
 * could not continue it; the answer to its last part may have got lost, so whether it is open is not known.
 */
function begunBatch(batchId: string, accepted: number, failed: Part, path: string): string {
  const from = Number(failed.positions[0]) + 1;
  return [
    `Batch ${batchId} was begun: ${accepted} companies were accepted before, and those from number ${from} of the list on were not, as far as is known.`,
    'Retry On Fail of this node continues the same batch. A new execution makes a new one, and has all of them researched again.',
    `To finish this batch, unless it is sealed, POST the others to ${path} with its batchId, and the last of them with "final": true.`,
  ].join('\n');
}

function readRequest(this: IExecuteFunctions, itemIndex: number): { campaignId: string; body: IDataObject } {
  const picked = (name: string) =>
    String(this.getNodeParameter(name, itemIndex, '', { extractValue: true }) ?? '').trim();
  const campaignId = picked('campaign');
  const provider = picked('provider');
  if (!isId(campaignId)) {
    throw new NodeOperationError(this.getNode(), `"${campaignId}" is not the ID of a campaign`, {
      description: 'Choose a campaign from the list, or give its ID, which has the form of a UUID.',
      itemIndex,
    });
  }
  if (provider === '') {
    throw new NodeOperationError(this.getNode(), 'No provider is chosen', { itemIndex });
  }
  const options = this.getNodeParameter('options', itemIndex, {});
  refuseBlank.call(this, options, { kind: 'Kind', runAt: 'Run At' }, itemIndex);
  const body: IDataObject = { provider, kind: String(options.kind ?? 'company').trim() };
  const isGiven = (value: unknown) => value !== undefined && value !== null && value !== '';
  if (isGiven(options.priority))
    body.priority = readWhole.call(this, options.priority, { title: 'Priority', from: 0, to: 9 }, itemIndex);
  if (options.runAt !== undefined) body.runAt = readTime.call(this, options.runAt, 'Run At', itemIndex);
  body.dryRun = readBoolean.call(this, 'dryRun', 'Dry Run', itemIndex);
  return { campaignId, body };
}

/** What was rejected, by its place in what the user gave, not in the part that was sent. */
function located(rejected: unknown, part: Part): IDataObject[] {
  if (!Array.isArray(rejected)) return [];
  return (rejected as FieldProblem[]).map((problem) => {
    const [, field, index, rest] = /^(companyIds|domains)\[(\d+)\](.*)$/.exec(problem.path) ?? [];
    if (field === undefined) return { ...problem };
    const position = part.positions[Number(index)];
    return { ...problem, path: `${field}[${position}]${rest}`, value: part.values[Number(index)] };
  });
}

function hintAtRejected(this: IExecuteFunctions, count: number, itemIndex: number): void {
  if (count === 0) return;
  const message = `Item ${itemIndex}: ${count} ${count === 1 ? 'company was' : 'companies were'} rejected and will not be researched; see "rejected" in the output.`;
  // Older versions of n8n have no hints where the node is a tool of an agent.
  this.addExecutionHints?.({ message, type: 'warning', location: 'outputPane' });
}
