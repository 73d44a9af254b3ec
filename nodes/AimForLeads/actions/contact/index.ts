import type { INodeProperties } from 'n8n-workflow';
import type { Operation } from '../operation';
import * as getMany from './getMany';

export const operations: Record<string, Operation> = { getMany };

export const menu: INodeProperties = {
  displayName: 'Operation',
  name: 'operation',
  type: 'options',
  noDataExpression: true,
  displayOptions: { show: { resource: ['contact'] } },
  options: [getMany.option],
  default: 'getMany',
};
