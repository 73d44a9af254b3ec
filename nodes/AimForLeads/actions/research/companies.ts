import { type IDataObject, type IExecuteFunctions, NodeOperationError } from 'n8n-workflow';
import { isId } from '../../pickers/id';

/** The part of a dispatch that says which companies; `positions` are where they stood in what the user gave. */
export interface Part {
  selection: IDataObject;
  values: string[];
  positions: number[];
}

const maxPartCompanies = 1000;
const maxDomainLength = 2000;

/**
 * Reads which companies to research and cuts them into parts the API takes at once. Doubles are left out. Everything
 * that can be known to be wrong is found here, before the first part is sent.
 */
export function readCompanies(this: IExecuteFunctions, itemIndex: number): Part[] {
  const by = String(this.getNodeParameter('companies', itemIndex));
  if (by === 'all') return [{ selection: { all: true }, values: [], positions: [] }];

  const field = by === 'domains' ? 'domains' : 'companyIds';
  const given = readList(
    this.getNodeParameter(field, itemIndex, ''),
    field === 'domains' ? /[\n,]+/ : /[\s,;]+/,
  );
  if (given.length === 0) {
    throw new NodeOperationError(this.getNode(), 'There are no companies to research', {
      description: `The field ${field === 'domains' ? 'Domains' : 'Company IDs'} is empty for this item.`,
      itemIndex,
    });
  }
  const isWrong = (value: string) => (field === 'domains' ? value.length > maxDomainLength : !isId(value));
  const wrong = given.findIndex(isWrong);
  if (wrong >= 0) {
    const value = String(given[wrong]).slice(0, 100);
    throw new NodeOperationError(
      this.getNode(),
      field === 'domains' ? `"${value}…" is too long for a domain` : `"${value}" is not the ID of a company`,
      { description: `It is number ${wrong + 1} of ${given.length}. Nothing was dispatched.`, itemIndex },
    );
  }
  const unique = [
    ...new Map(given.map((value, position) => [value.toLowerCase(), { value, position }])).values(),
  ];
  const parts: Part[] = [];
  for (let start = 0; start < unique.length; start += maxPartCompanies) {
    const slice = unique.slice(start, start + maxPartCompanies);
    const values = slice.map(({ value }) => value);
    parts.push({ selection: { [field]: values }, values, positions: slice.map(({ position }) => position) });
  }
  return parts;
}

/** An expression may give a list; people write one a line or with commas. */
function readList(value: unknown, separator: RegExp): string[] {
  const entries = Array.isArray(value) ? value.map(String) : String(value ?? '').split(separator);
  return entries.map((entry) => entry.trim()).filter((entry) => entry !== '');
}
