import {
  type IDataObject,
  type IExecuteFunctions,
  type INodeProperties,
  type INodePropertyOptions,
  NodeOperationError,
} from 'n8n-workflow';
import { campaignField } from '../../pickers/campaign';
import { isId } from '../../pickers/id';
import { pages } from '../../transport/pages';

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
  {
    displayName: 'Return All',
    name: 'returnAll',
    type: 'boolean',
    default: false,
    description: 'Whether to return all results or only up to a given limit',
    displayOptions: { show },
  },
  {
    displayName: 'Limit',
    name: 'limit',
    type: 'number',
    typeOptions: { minValue: 1 },
    default: 50,
    description: 'Max number of results to return',
    displayOptions: { show: { ...show, returnAll: [false] } },
  },
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
  const campaignId = String(this.getNodeParameter('campaign', itemIndex, '', { extractValue: true })).trim();
  if (!isId(campaignId)) {
    throw new NodeOperationError(this.getNode(), `"${campaignId}" is not the ID of a campaign`, {
      description: 'Choose a campaign from the list, or give its ID, which has the form of a UUID.',
      itemIndex,
    });
  }
  const options = this.getNodeParameter('options', itemIndex, {});
  const companyId = String(options.companyId ?? '').trim();
  const contacts: IDataObject[] = [];
  const walk = pages.call(this, '/v1/contacts', {
    query: { campaignId, order: options.order ?? 'desc', ...(companyId !== '' && { companyId }) },
    limit: readLimit.call(this, itemIndex),
    itemIndex,
  });
  for await (const page of walk) for (const contact of page) contacts.push(contact);
  return contacts;
}

function readLimit(this: IExecuteFunctions, itemIndex: number): number {
  if (this.getNodeParameter('returnAll', itemIndex, false)) return Number.POSITIVE_INFINITY;
  const limit = Number(this.getNodeParameter('limit', itemIndex, 50));
  if (Number.isInteger(limit) && limit >= 1) return limit;
  throw new NodeOperationError(this.getNode(), 'Limit must be a whole number from 1 on', { itemIndex });
}
