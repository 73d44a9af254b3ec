import type { IDataObject, IExecuteFunctions, INodeProperties, INodePropertyOptions } from 'n8n-workflow';
import { campaignField } from '../../pickers/campaign';
import { readId } from '../../pickers/readId';
import { limitFields, readRows } from '../limit';
import { refuseBlank } from '../refuseBlank';

const show = { resource: ['contact'], operation: ['getMany'] };

export const option: INodePropertyOptions = {
  name: 'Get Many',
  value: 'getMany',
  action: 'Get many contacts',
  description: 'Get the contacts of a campaign, each exactly once',
};

export const fields: INodeProperties[] = [
  {
    ...campaignField,
    description: 'The campaign whose contacts to get',
    displayOptions: { show },
  },
  ...limitFields(show),
  {
    displayName: 'Options',
    name: 'options',
    type: 'collection',
    placeholder: 'Add option',
    default: {},
    displayOptions: { show },
    options: [
      {
        displayName: 'Company ID',
        name: 'companyId',
        type: 'string',
        default: '',
        placeholder: 'e.g. 0198f0c2-6a44-7c11-9d1f-3f1b7a5e2c10',
        description: 'Only the contacts of this company',
      },
      {
        displayName: 'Order',
        name: 'order',
        type: 'options',
        default: 'desc',
        description: 'By the time they were created',
        options: [
          { name: 'Newest First', value: 'desc' },
          { name: 'Oldest First', value: 'asc' },
        ],
      },
    ],
  },
];

export async function execute(this: IExecuteFunctions, itemIndex: number): Promise<IDataObject[]> {
  const campaignId = readId.call(this, { field: 'campaign', what: 'a campaign' }, itemIndex);
  const options = this.getNodeParameter('options', itemIndex, {});
  // It must not list the contacts of all companies.
  refuseBlank.call(this, options, { companyId: 'Company ID' }, itemIndex);
  const companyId = String(options.companyId ?? '').trim();
  const query = { campaignId, order: options.order ?? 'desc', ...(companyId !== '' && { companyId }) };
  return await readRows.call(this, '/v1/contacts', query, itemIndex);
}
