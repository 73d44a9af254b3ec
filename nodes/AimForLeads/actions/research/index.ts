import type { INodeProperties } from 'n8n-workflow';
import type { Operation } from '../operation';
import * as dispatch from './dispatch';

export const operations: Record<string, Operation> = { dispatch };

export const menu: INodeProperties = {
  displayName: 'Operation',
  name: 'operation',
  type: 'options',
  noDataExpression: true,
  displayOptions: { show: { resource: ['research'] } },
  options: [dispatch.option],
  default: 'dispatch',
};
