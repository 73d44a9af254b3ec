import type { INodeProperties } from 'n8n-workflow';
import type { Operation } from '../operation';
import * as forget from './forget';
import * as get from './get';

export const operations: Record<string, Operation> = { forget, get };

export const menu: INodeProperties = {
  displayName: 'Operation',
  name: 'operation',
  type: 'options',
  noDataExpression: true,
  displayOptions: { show: { resource: ['erasure'] } },
  options: [forget.option, get.option],
  default: 'forget',
};
