import type { INodeProperties } from 'n8n-workflow';
import type { Operation } from '../operation';
import * as archive from './archive';
import * as exportFile from './export';
import * as get from './get';
import * as getMany from './getMany';
import * as getManyCompanies from './getManyCompanies';
import * as getManyContacts from './getManyContacts';
import * as getManyEvents from './getManyEvents';
import * as restore from './restore';
import * as search from './search';

export const operations: Record<string, Operation> = {
  archive,
  export: exportFile,
  get,
  getMany,
  getManyCompanies,
  getManyContacts,
  getManyEvents,
  restore,
  search,
};

export const menu: INodeProperties = {
  displayName: 'Operation',
  name: 'operation',
  type: 'options',
  noDataExpression: true,
  displayOptions: { show: { resource: ['archive'] } },
  options: [
    archive.option,
    exportFile.option,
    get.option,
    getMany.option,
    getManyCompanies.option,
    getManyContacts.option,
    getManyEvents.option,
    restore.option,
    search.option,
  ],
  default: 'get',
};
