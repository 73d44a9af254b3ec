import type { ILoadOptionsFunctions, INodeListSearchResult, INodeProperties } from 'n8n-workflow';
import { pickFrom } from './pickFrom';

/** Who does the research. Its name is kept, not its ID, so that a workflow works in another environment too. */
export const providerField: INodeProperties = {
  displayName: 'Provider',
  name: 'provider',
  type: 'resourceLocator',
  default: { mode: 'list', value: '' },
  required: true,
  description: 'The service or n8n workflow that does the research',
  modes: [
    {
      displayName: 'From List',
      name: 'list',
      type: 'list',
      placeholder: 'Select a provider…',
      typeOptions: { searchListMethod: 'searchProviders', searchable: true },
    },
    {
      displayName: 'By Name or ID',
      name: 'name',
      type: 'string',
      placeholder: 'e.g. n8n-research',
    },
  ],
};

export async function searchProviders(
  this: ILoadOptionsFunctions,
  filter?: string,
  paginationToken?: string,
): Promise<INodeListSearchResult> {
  return await pickFrom.call(this, '/v1/providers', { field: 'name', filter, paginationToken });
}
