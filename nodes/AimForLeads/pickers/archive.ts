import type { ILoadOptionsFunctions, INodeListSearchResult, INodeProperties } from 'n8n-workflow';
import { idRule } from './id';
import { pickFrom } from './pickFrom';

/** Which archived campaign an operation is about. Its archive has the ID of the campaign. */
export const archiveField: INodeProperties = {
  displayName: 'Archive',
  name: 'archive',
  type: 'resourceLocator',
  default: { mode: 'list', value: '' },
  required: true,
  modes: [
    {
      displayName: 'From List',
      name: 'list',
      type: 'list',
      placeholder: 'Select an archived campaign…',
      typeOptions: { searchListMethod: 'searchArchives', searchable: true },
    },
    {
      displayName: 'By ID',
      name: 'id',
      type: 'string',
      placeholder: 'e.g. 0198f0c2-6a44-7c11-9d1f-3f1b7a5e2c10',
      hint: 'The ID of the campaign',
      validation: [idRule],
    },
  ],
};

export async function searchArchives(
  this: ILoadOptionsFunctions,
  filter?: string,
  paginationToken?: string,
): Promise<INodeListSearchResult> {
  return await pickFrom.call(this, '/v1/archives', { field: 'id', filter, paginationToken });
}
