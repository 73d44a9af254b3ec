import type { IDataObject, IExecuteFunctions, INodeProperties } from 'n8n-workflow';
import { pages } from '../transport/pages';
import { readBoolean } from './readBoolean';
import { readWhole } from './readWhole';

type Show = Record<string, string[]>;

/** Return All, or Limit. */
export function limitFields(show: Show): INodeProperties[] {
  return [
    {
      displayName: 'Return All',
      name: 'returnAll',
      type: 'boolean',
      default: false,
      description: 'Whether to return all results or only up to a given limit',
      displayOptions: { show },
    },
    {
      displayName: 'Limit',
      name: 'limit',
      type: 'number',
      typeOptions: { minValue: 1 },
      default: 50,
      description: 'Max number of results to return',
      displayOptions: { show: { ...show, returnAll: [false] } },
    },
  ];
}

export function readLimit(this: IExecuteFunctions, itemIndex: number): number {
  if (readBoolean.call(this, 'returnAll', 'Return All', itemIndex)) return Number.POSITIVE_INFINITY;
  const limit = this.getNodeParameter('limit', itemIndex, 50);
  return readWhole.call(this, limit, { title: 'Limit', from: 1 }, itemIndex);
}

/** The rows of a list, as many as the fields above say. */
export async function readRows(
  this: IExecuteFunctions,
  path: string,
  query: IDataObject,
  itemIndex: number,
): Promise<IDataObject[]> {
  const rows: IDataObject[] = [];
  const walk = pages.call(this, path, { query, limit: readLimit.call(this, itemIndex), itemIndex });
  for await (const page of walk) for (const row of page) rows.push(row);
  return rows;
}
