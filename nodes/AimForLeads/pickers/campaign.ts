import type { ILoadOptionsFunctions, INodeListSearchResult, INodeProperties } from 'n8n-workflow';
import { idRule } from './id';
import { pickFrom } from './pickFrom';

/** Which campaign an operation is about: chosen from a list, or named by its ID. */
export const campaignField: INodeProperties = {
  displayName: 'Campaign',
  name: 'campaign',
  type: 'resourceLocator',
  default: { mode: 'list', value: '' },
  required: true,
  modes: [
    {
      displayName: 'From List',
      name: 'list',
      type: 'list',
      placeholder: 'Select a campaign…',
      typeOptions: { searchListMethod: 'searchCampaigns', searchable: true },
    },
    {
      displayName: 'By ID',
      name: 'id',
      type: 'string',
      placeholder: 'e.g. 0198f0c2-6a44-7c11-9d1f-3f1b7a5e2c10',
      validation: [idRule],
    },
  ],
};

/** Active campaigns, the newest first. */
export async function searchCampaigns(
  this: ILoadOptionsFunctions,
  filter?: string,
  paginationToken?: string,
): Promise<INodeListSearchResult> {
  return await pickFrom.call(this, '/v1/campaigns', { field: 'id', filter, paginationToken });
}
