import {
  type IDataObject,
  type IExecuteFunctions,
  type INodeProperties,
  type INodePropertyOptions,
  NodeOperationError,
} from 'n8n-workflow';
import { limitFields, readRows } from '../limit';

const show = { resource: ['archive'], operation: ['search'] };

export const option: INodePropertyOptions = {
  name: 'Search',
  value: 'search',
  action: 'Search all archives',
  description: 'Find an email address or a domain in all archives: contacts, companies and prospects',
};

export const fields: INodeProperties[] = [
  {
    displayName: 'By',
    name: 'by',
    type: 'options',
    default: 'email',
    options: [
      { name: 'Domain', value: 'domain' },
      { name: 'Email', value: 'email' },
    ],
    displayOptions: { show },
  },
  {
    displayName: 'Email',
    name: 'email',
    type: 'string',
    required: true,
    default: '',
    placeholder: 'e.g. nathan@example.com',
    description: 'A whole address, in whatever case',
    displayOptions: { show: { ...show, by: ['email'] } },
  },
  {
    displayName: 'Domain',
    name: 'domain',
    type: 'string',
    required: true,
    default: '',
    placeholder: 'e.g. n8n.io',
    description: 'A whole domain, of companies and of addresses; URLs will do',
    displayOptions: { show: { ...show, by: ['domain'] } },
  },
  ...limitFields(show),
];

export async function execute(this: IExecuteFunctions, itemIndex: number): Promise<IDataObject[]> {
  const by = this.getNodeParameter('by', itemIndex, 'email') === 'domain' ? 'domain' : 'email';
  const sought = String(this.getNodeParameter(by, itemIndex, '') ?? '').trim();
  if (sought === '') {
    throw new NodeOperationError(this.getNode(), `There is no ${by} to search for`, { itemIndex });
  }
  return await readRows.call(this, '/v1/archives/search', { [by]: sought }, itemIndex);
}
