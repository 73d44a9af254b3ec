import type { IDataObject, IExecuteFunctions, INodeProperties, INodePropertyOptions } from 'n8n-workflow';
import { limitFields, readRows } from '../limit';

export const option: INodePropertyOptions = {
  name: 'Get Many Events',
  value: 'getManyEvents',
  action: 'Get many archive events',
  description: 'Get what was archived, restored and purged, what failed and why, newest first, of 90 days',
};

export const fields: INodeProperties[] = limitFields({ resource: ['archive'], operation: ['getManyEvents'] });

export async function execute(this: IExecuteFunctions, itemIndex: number): Promise<IDataObject[]> {
  return await readRows.call(this, '/v1/archives/events', {}, itemIndex);
}
