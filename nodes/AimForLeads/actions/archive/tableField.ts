import type { INodeProperties } from 'n8n-workflow';

export const tableField: INodeProperties = {
  displayName: 'Rows',
  name: 'table',
  type: 'options',
  default: 'contacts',
  options: [
    { name: 'Companies', value: 'companies' },
    { name: 'Contacts', value: 'contacts' },
    { name: 'Prospects', value: 'prospects' },
    { name: 'Research', value: 'research' },
  ],
};
