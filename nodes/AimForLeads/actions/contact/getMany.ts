import {
  type IDataObject,
  type IExecuteFunctions,
  type INodeProperties,
  type INodePropertyOptions,
  NodeOperationError,
} from 'n8n-workflow';
import { campaignField } from '../../pickers/campaign';
import { readId } from '../../pickers/readId';
import { limitFields, readRows } from '../limit';

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
  if ('companyId' in options && typeof options.companyId !== 'string') {
    // It must not list the contacts of all companies.
    throw new NodeOperationError(this.getNode(), 'Company ID is set by an expression that found nothing', {
      description: 'Give the ID of a company, or remove the option to get the contacts of all.',
      itemIndex,
    });
  }
  const companyId = String(options.companyId ?? '').trim();
  const query = { campaignId, order: options.order ?? 'desc', ...(companyId !== '' && { companyId }) };
  return await readRows.call(this, '/v1/contacts', query, itemIndex);
}
