import type { INodeProperties } from 'n8n-workflow';
import type { Operation } from '../operation';
import * as get from './get';

export const operations: Record<string, Operation> = { get };

export const menu: INodeProperties = {
  displayName: 'Operation',
  name: 'operation',
  type: 'options',
  noDataExpression: true,
  displayOptions: { show: { resource: ['job'] } },
  options: [get.option],
  default: 'get',
};
