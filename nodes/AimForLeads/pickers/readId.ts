import { type IExecuteFunctions, NodeOperationError } from 'n8n-workflow';
import { isId } from './id';

/** The ID in a field, chosen from a list or given. Nothing else ever becomes part of an address. */
export function readId(
  this: IExecuteFunctions,
  { field, what }: { field: string; what: 'a campaign' | 'an archive' | 'an erasure' },
  itemIndex: number,
): string {
  const id = String(this.getNodeParameter(field, itemIndex, '', { extractValue: true })).trim();
  if (isId(id)) return id;
  const name = what.replace(/^an? /, '');
  const isPicked = field === 'campaign' || field === 'archive';
  throw new NodeOperationError(this.getNode(), `"${id.slice(0, 100)}" is not the ID of ${what}`, {
    description: isPicked
      ? `Choose ${what} from the list, or give its ID, which has the form of a UUID.`
      : `The ID of ${what} has the form of a UUID; the operation that began the ${name} gave it.`,
    itemIndex,
  });
}
