import type { IDataObject, IExecuteFunctions, INodeProperties, INodePropertyOptions } from 'n8n-workflow';
import { archiveField } from '../../pickers/archive';
import { readId } from '../../pickers/readId';
import { limitFields, readRows } from '../limit';

const show = { resource: ['archive'], operation: ['getManyCompanies'] };

export const option: INodePropertyOptions = {
  name: 'Get Many Companies',
  value: 'getManyCompanies',
  action: 'Get many archived companies',
  description: 'Get the companies of an archived campaign without restoring it, each exactly once',
};

export const fields: INodeProperties[] = [
  {
    ...archiveField,
    description: 'The archived campaign whose companies to get',
    displayOptions: { show },
  },
  ...limitFields(show),
];

export async function execute(this: IExecuteFunctions, itemIndex: number): Promise<IDataObject[]> {
  const id = readId.call(this, { field: 'archive', what: 'an archive' }, itemIndex);
  return await readRows.call(this, `/v1/archives/${id}/companies`, {}, itemIndex);
}
