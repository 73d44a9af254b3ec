import type { IDataObject, IExecuteFunctions, INodeProperties, INodePropertyOptions } from 'n8n-workflow';
import { limitFields, readRows } from '../limit';

const show = { resource: ['archive'], operation: ['getMany'] };

export const option: INodePropertyOptions = {
  name: 'Get Many',
  value: 'getMany',
  action: 'Get many archives',
  description: 'Get the archived campaigns, the newest archive first',
};

export const fields: INodeProperties[] = [
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
        displayName: 'State',
        name: 'state',
        type: 'options',
        default: 'archived',
        options: [
          { name: 'Archived', value: 'archived', description: 'Whole' },
          { name: 'Archiving', value: 'archiving', description: 'Being made' },
          { name: 'Restoring', value: 'restoring', description: 'On its way back' },
        ],
      },
    ],
  },
];

export async function execute(this: IExecuteFunctions, itemIndex: number): Promise<IDataObject[]> {
  const { state } = this.getNodeParameter('options', itemIndex, {});
  return await readRows.call(this, '/v1/archives', state ? { state } : {}, itemIndex);
}
