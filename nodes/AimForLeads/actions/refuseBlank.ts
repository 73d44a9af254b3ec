import { type IDataObject, type IExecuteFunctions, NodeOperationError } from 'n8n-workflow';

/**
 * Refuses an option that was added and is blank, as by an expression that found nothing: to take it for one that was not
 * added would dispatch at once what was to wait, or list the rows of all.
 * @param titles of the options, by their names
 */
export function refuseBlank(
  this: IExecuteFunctions,
  options: IDataObject,
  titles: Record<string, string>,
  itemIndex: number,
): void {
  for (const [name, title] of Object.entries(titles)) {
    const value = options[name];
    const isBlank =
      value === undefined || value === null || (typeof value === 'string' && value.trim() === '');
    if (!(name in options && isBlank)) continue;
    throw new NodeOperationError(this.getNode(), `${title} is blank`, {
      description: 'Give a value, or remove the option. An expression that finds nothing gives a blank.',
      itemIndex,
    });
  }
}
