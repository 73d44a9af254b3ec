import type { IDataObject, IExecuteFunctions, INodeProperties, INodePropertyOptions } from 'n8n-workflow';
import { campaignField } from '../../pickers/campaign';
import { readId } from '../../pickers/readId';
import { request } from '../../transport/request';
import { idempotencyKey } from '../idempotencyKey';
import { readBoolean } from '../readBoolean';
import { readWait, until, waitFields } from '../until';

const show = { resource: ['archive'], operation: ['archive'] };

export const option: INodePropertyOptions = {
  name: 'Archive Campaign',
  value: 'archive',
  action: 'Archive a campaign',
  description: 'Move a campaign with everything below it into the archive',
};

export const fields: INodeProperties[] = [
  {
    ...campaignField,
    description: 'The campaign to archive; from then on nothing in it can be changed',
    displayOptions: { show },
  },
  {
    displayName: 'Cancel Open Jobs',
    name: 'cancelOpenJobs',
    type: 'boolean',
    default: false,
    description: 'Whether to cancel the research that is under way; otherwise such a campaign is refused',
    displayOptions: { show },
  },
  ...waitFields(show),
];

/** Answers as soon as it is begun or, when asked to, once every row is in the archive. */
export async function execute(this: IExecuteFunctions, itemIndex: number): Promise<IDataObject[]> {
  const id = readId.call(this, { field: 'campaign', what: 'a campaign' }, itemIndex);
  const cancelOpenJobs = readBoolean.call(this, 'cancelOpenJobs', 'Cancel Open Jobs', itemIndex);
  const minutes = readWait.call(this, itemIndex);
  const begun = await request.call(this, {
    method: 'POST',
    path: `/v1/campaigns/${id}/archive`,
    body: { cancelOpenJobs },
    has: ['id', 'state'],
    idempotencyKey: idempotencyKey.call(this, itemIndex, ['archive', id, cancelOpenJobs]),
    itemIndex,
  });
  if (minutes === undefined) return [begun];
  const look = async () => {
    const json = await request.call(this, {
      method: 'GET',
      path: `/v1/archives/${id}`,
      has: ['state'],
      itemIndex,
    });
    return { json, done: json.state === 'archived' };
  };
  return [await until.call(this, minutes, look)];
}
