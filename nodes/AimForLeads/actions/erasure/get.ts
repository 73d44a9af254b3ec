import type { IDataObject, IExecuteFunctions, INodeProperties, INodePropertyOptions } from 'n8n-workflow';
import { readId } from '../../pickers/readId';
import { request } from '../../transport/request';

export const option: INodePropertyOptions = {
  name: 'Get',
  value: 'get',
  action: 'Get an erasure',
  description: 'Get whether a person is forgotten yet, and in how many rows',
};

export const fields: INodeProperties[] = [
  {
    displayName: 'Erasure ID',
    name: 'erasureId',
    type: 'string',
    required: true,
    default: '',
    placeholder: 'e.g. 0198f0c2-6a44-7c11-9d1f-3f1b7a5e2c10',
    description: 'Forget a Person gives it',
    displayOptions: { show: { resource: ['erasure'], operation: ['get'] } },
  },
];

export async function execute(this: IExecuteFunctions, itemIndex: number): Promise<IDataObject[]> {
  const id = readId.call(this, { field: 'erasureId', what: 'an erasure' }, itemIndex);
  return [
    await request.call(this, { method: 'GET', path: `/v1/erasures/${id}`, has: ['id', 'state'], itemIndex }),
  ];
}
