import { type IExecuteFunctions, NodeOperationError } from 'n8n-workflow';
import { shown } from './shown';

/** A whole number, which an expression may give as text. @param to the highest, if there is one */
export function readWhole(
  this: IExecuteFunctions,
  value: unknown,
  { title, from, to = Number.POSITIVE_INFINITY }: { title: string; from: number; to?: number },
  itemIndex: number,
): number {
  const isNumeric = typeof value === 'number' || (typeof value === 'string' && /^\s*\d+\s*$/.test(value));
  const number = isNumeric ? Number(value) : Number.NaN;
  if (Number.isSafeInteger(number) && number >= from && number <= to) return number;
  const range = to === Number.POSITIVE_INFINITY ? `from ${from} on` : `from ${from} to ${to}`;
  throw new NodeOperationError(
    this.getNode(),
    `${title} must be a whole number ${range}, not ${shown(value)}`,
    {
      itemIndex,
    },
  );
}
