import type { IDataObject, IExecuteFunctions, INodeProperties, INodePropertyOptions } from 'n8n-workflow';
import { archiveField } from '../../pickers/archive';
import { readId } from '../../pickers/readId';
import { request } from '../../transport/request';

const show = { resource: ['archive'], operation: ['get'] };

export const option: INodePropertyOptions = {
  name: 'Get',
  value: 'get',
  action: 'Get an archive',
  description: 'Get the state of an archive: how far it is while it is made or restored',
};

export const fields: INodeProperties[] = [
  {
    ...archiveField,
    description: 'The archived campaign to look at',
    displayOptions: { show },
  },
];

export async function execute(this: IExecuteFunctions, itemIndex: number): Promise<IDataObject[]> {
  const id = readId.call(this, { field: 'archive', what: 'an archive' }, itemIndex);
  return [
    await request.call(this, { method: 'GET', path: `/v1/archives/${id}`, has: ['id', 'state'], itemIndex }),
  ];
}
