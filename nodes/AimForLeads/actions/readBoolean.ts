import { type IExecuteFunctions, NodeOperationError } from 'n8n-workflow';
import { shown } from './shown';

/**
 * A switch of the node, which an expression may set: webhooks and CSV give `true` and `false` as text. Whatever else
 * comes is refused: a guess could dispatch what was to be a dry run.
 * @param name of the parameter, behind that of its collection: `options.closed`
 */
export function readBoolean(
  this: IExecuteFunctions,
  name: string,
  title: string,
  itemIndex: number,
): boolean {
  const value: unknown = this.getNodeParameter(name, itemIndex, false);
  if (typeof value === 'boolean') return value;
  const text = typeof value === 'string' ? value.trim().toLowerCase() : undefined;
  if (text === 'true' || text === 'false') return text === 'true';
  throw new NodeOperationError(this.getNode(), `${title} is ${shown(value)}, neither true nor false`, {
    description: 'Give true or false, or an expression such as {{ $json.answer === "yes" }}.',
    itemIndex,
  });
}
