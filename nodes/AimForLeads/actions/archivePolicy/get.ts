import type { IDataObject, IExecuteFunctions, INodeProperties, INodePropertyOptions } from 'n8n-workflow';
import { request } from '../../transport/request';

export const option: INodePropertyOptions = {
  name: 'Get',
  value: 'get',
  action: 'Get the archive policy',
  description: 'Get when campaigns are archived by themselves, and how long archives are kept',
};

export const fields: INodeProperties[] = [];

export async function execute(this: IExecuteFunctions, itemIndex: number): Promise<IDataObject[]> {
  return [
    await request.call(this, {
      method: 'GET',
      path: '/v1/archive-policy',
      has: ['retentionDays'],
      itemIndex,
    }),
  ];
}
