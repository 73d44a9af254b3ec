import {
  type IDataObject,
  type IExecuteFunctions,
  type INodeProperties,
  type INodePropertyOptions,
  NodeOperationError,
} from 'n8n-workflow';
import { archiveField } from '../../pickers/archive';
import { readId } from '../../pickers/readId';
import { find, request } from '../../transport/request';
import { idempotencyKey } from '../idempotencyKey';
import { readWait, until, waitFields } from '../until';

const show = { resource: ['archive'], operation: ['restore'] };

export const option: INodePropertyOptions = {
  name: 'Restore Campaign',
  value: 'restore',
  action: 'Restore an archived campaign',
  description: 'Bring an archived campaign back as it was, under the same IDs',
};

export const fields: INodeProperties[] = [
  {
    ...archiveField,
    description: 'The archived campaign to bring back',
    displayOptions: { show },
  },
  ...waitFields(show),
];

/** Answers as soon as it is begun or, when asked to, once the campaign is active again. */
export async function execute(this: IExecuteFunctions, itemIndex: number): Promise<IDataObject[]> {
  const id = readId.call(this, { field: 'archive', what: 'an archive' }, itemIndex);
  const minutes = readWait.call(this, itemIndex);
  const begun = await request.call(this, {
    method: 'POST',
    path: `/v1/campaigns/${id}/restore`,
    body: {},
    has: ['id', 'state'],
    idempotencyKey: idempotencyKey.call(this, itemIndex, ['restore', id]),
    itemIndex,
  });
  if (minutes === undefined) return [begun];
  return [await until.call(this, minutes, () => look.call(this, id, itemIndex))];
}

/** The archive of a campaign that is active again is gone; one that is as before was given up, for the reason reported. */
async function look(this: IExecuteFunctions, id: string, itemIndex: number) {
  const get = { method: 'GET' as const, itemIndex };
  const archive = await find.call(this, { ...get, path: `/v1/archives/${id}`, has: ['state'] });
  if (archive === undefined) {
    const campaign = await request.call(this, { ...get, path: `/v1/campaigns/${id}`, has: ['id'] });
    return { json: { ...campaign, state: 'restored' }, done: true };
  }
  if (archive.state !== 'archived') return { json: archive, done: false };
  const events = { path: '/v1/archives/events', query: { limit: 100 }, has: ['data'] };
  const { data } = await request.call(this, { ...get, ...events });
  const failure = (data as IDataObject[]).find(
    ({ campaignId, outcome }) => campaignId === id && outcome === 'failed',
  );
  throw new NodeOperationError(
    this.getNode(),
    'The campaign could not be restored; its archive is as before',
    {
      description: failure ? `${String(failure.errorMessage)} (${String(failure.errorCode)})` : undefined,
      itemIndex,
    },
  );
}
