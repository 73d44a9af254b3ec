import type { INodeProperties } from 'n8n-workflow';
import type { Operation } from '../operation';
import * as get from './get';
import * as set from './set';

export const operations: Record<string, Operation> = { get, set };

export const menu: INodeProperties = {
  displayName: 'Operation',
  name: 'operation',
  type: 'options',
  noDataExpression: true,
  displayOptions: { show: { resource: ['archivePolicy'] } },
  options: [get.option, set.option],
  default: 'get',
};
