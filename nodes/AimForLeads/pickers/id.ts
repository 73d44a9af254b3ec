import type { INodePropertyModeValidation } from 'n8n-workflow';

const uuid = '[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}';
const pattern = new RegExp(`^${uuid}$`);

export function isId(text: string): boolean {
  return pattern.test(text);
}

/** For the editor, which shows it under the field while one types. */
export const idRule: INodePropertyModeValidation = {
  type: 'regex',
  properties: { regex: `^\\s*${uuid}\\s*$`, errorMessage: 'Not an ID: it has the form of a UUID' },
};
