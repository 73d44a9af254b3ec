import { type IDataObject, type IExecuteFunctions, jsonParse, NodeOperationError } from 'n8n-workflow';
import { isId } from '../../pickers/id';
import { shown } from '../shown';

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

  if (by !== 'domains' && by !== 'ids') {
    throw new NodeOperationError(this.getNode(), `Companies cannot be "${by.slice(0, 100)}"`, {
      description: 'Give all, domains or ids. Nothing was dispatched.',
      itemIndex,
    });
  }

  const field = by === 'domains' ? 'domains' : 'companyIds';
  const { entries: given, count } = readList.call(this, field, itemIndex);
  const isWrong = (value: string) => (field === 'domains' ? value.length > maxDomainLength : !isId(value));
  const wrong = given.find((entry) => isWrong(entry.value));
  if (wrong) {
    const value = wrong.value.slice(0, 100);
    throw new NodeOperationError(
      this.getNode(),
      field === 'domains' ? `"${value}…" is too long for a domain` : `"${value}" is not the ID of a company`,
      { description: `It is number ${wrong.position + 1} of ${count}. Nothing was dispatched.`, itemIndex },
    );
  }
  // The first of each, whose place is named where something is wrong. The case of a domain's path may count.
  const seen = new Set<string>();
  const unique = given.filter(({ value }) => {
    const key = field === 'domains' ? value : value.toLowerCase();
    return !seen.has(key) && seen.add(key);
  });
  const parts: Part[] = [];
  for (let start = 0; start < unique.length; start += maxPartCompanies) {
    const slice = unique.slice(start, start + maxPartCompanies);
    const values = slice.map(({ value }) => value);
    parts.push({ selection: { [field]: values }, values, positions: slice.map(({ position }) => position) });
  }
  return parts;
}

/** An expression may give a list; people write one a line or with commas. Blanks count as places, and no more. */
function readList(
  this: IExecuteFunctions,
  field: 'domains' | 'companyIds',
  itemIndex: number,
): { entries: { value: string; position: number }[]; count: number } {
  const [title, what, separator] =
    field === 'domains' ? ['Domains', 'a domain', /[\n,]+/] : (['Company IDs', 'an ID', /[\s,;]+/] as const);
  const value = asList(this.getNodeParameter(field, itemIndex, '') ?? '');
  const given: unknown[] = typeof value === 'string' ? value.split(separator) : [value].flat();
  const entries: { value: string; position: number }[] = [];
  for (const [position, entry] of given.entries()) {
    if (typeof entry !== 'string') {
      throw new NodeOperationError(this.getNode(), `${title} has ${shown(entry)} in the place of ${what}`, {
        description: `It is number ${position + 1} of ${given.length}. Nothing was dispatched.`,
        itemIndex,
      });
    }
    if (entry.trim() !== '') entries.push({ value: entry.trim(), position });
  }
  if (entries.length > 0) return { entries, count: given.length };
  throw new NodeOperationError(this.getNode(), 'There are no companies to research', {
    description: `The field ${title} is empty for this item.`,
    itemIndex,
  });
}

/** Agents write a list as JSON. */
function asList(value: unknown): unknown {
  return typeof value === 'string' && value.trim().startsWith('[')
    ? jsonParse(value, { fallbackValue: value })
    : value;
}
