import {
  type IDataObject,
  type IExecuteFunctions,
  type INodeProperties,
  type INodePropertyOptions,
  NodeOperationError,
} from 'n8n-workflow';
import { isId } from '../../pickers/id';
import { request } from '../../transport/request';

export const option: INodePropertyOptions = {
  name: 'Get',
  value: 'get',
  action: 'Get a job',
  description: 'Get the state of the research of one company: its status, retries and error',
};

export const fields: INodeProperties[] = [
  {
    displayName: 'Job ID',
    name: 'jobId',
    type: 'string',
    required: true,
    default: '',
    placeholder: 'e.g. 0198f0c2-6a44-7c11-9d1f-3f1b7a5e2c10',
    description: 'Every research request that a provider receives names its job',
    displayOptions: { show: { resource: ['job'], operation: ['get'] } },
  },
];

export async function execute(this: IExecuteFunctions, itemIndex: number): Promise<IDataObject[]> {
  const jobId = String(this.getNodeParameter('jobId', itemIndex)).trim();
  if (!isId(jobId)) {
    throw new NodeOperationError(this.getNode(), `"${jobId}" is not the ID of a job`, {
      description: 'The ID of a job has the form of a UUID.',
      itemIndex,
    });
  }
  return [
    await request.call(this, { method: 'GET', path: `/v1/jobs/${jobId}`, has: ['id', 'status'], itemIndex }),
  ];
}
