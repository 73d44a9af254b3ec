import {
  type IDataObject,
  type IExecuteFunctions,
  type INodeProperties,
  type INodePropertyOptions,
  NodeOperationError,
} from 'n8n-workflow';
import { archiveField } from '../../pickers/archive';
import { readId } from '../../pickers/readId';
import { download } from '../../transport/request';
import { FileItem } from '../operation';
import { tableField } from './tableField';

/** As large as a part of an export may be. */
const minMegabytes = 5;
const show = { resource: ['archive'], operation: ['export'] };

export const option: INodePropertyOptions = {
  name: 'Export',
  value: 'export',
  action: 'Export an archive',
  description:
    'Get the archived contacts, companies, prospects or research as a file, without restoring them',
};

export const fields: INodeProperties[] = [
  {
    ...archiveField,
    description: 'The archived campaign to export',
    displayOptions: { show },
  },
  { ...tableField, displayOptions: { show } },
  {
    displayName: 'Format',
    name: 'format',
    type: 'options',
    default: 'ndjson',
    options: [
      {
        name: 'CSV',
        value: 'csv',
        description: 'For spreadsheets; attributes and findings are JSON in a cell',
      },
      { name: 'NDJSON', value: 'ndjson', description: 'One JSON object a line' },
    ],
    displayOptions: { show },
  },
  {
    displayName: 'Put Output File in Field',
    name: 'binaryPropertyName',
    type: 'string',
    required: true,
    default: 'data',
    hint: 'The name of the output binary field to put the file in',
    displayOptions: { show },
  },
  {
    displayName: 'Options',
    name: 'options',
    type: 'collection',
    placeholder: 'Add option',
    default: {},
    displayOptions: { show },
    options: [
      {
        displayName: 'File Name',
        name: 'fileName',
        type: 'string',
        default: '',
        placeholder: 'e.g. autumn-contacts',
        description: 'Without the extension. Of several files, the second ends in -2, and so on.',
      },
      {
        displayName: 'Max File Size (MB)',
        name: 'maxFileMegabytes',
        type: 'number',
        typeOptions: { minValue: minMegabytes },
        default: 50,
        description:
          'A larger export comes as several files, one item each: one file is in memory at a time where n8n keeps binary data on disk',
      },
    ],
  },
];

const mimeTypes: Record<string, string> = { csv: 'text/csv', ndjson: 'application/x-ndjson' };

/** What was read of a file that is not whole yet. */
interface Reading {
  parts: Buffer[];
  bytes: number;
}

/** Reads part after part; a file ends where the next part might not fit. Only whole rows are in a part. */
export async function execute(this: IExecuteFunctions, itemIndex: number): Promise<FileItem[]> {
  const asked = readRequest.call(this, itemIndex);
  const { archiveId, table, format, maxBytes } = asked;
  const files: FileItem[] = [];
  let reading: Reading = { parts: [], bytes: 0 };
  let names: Buffer = Buffer.alloc(0);
  let cursor: string | undefined;
  do {
    const { bytes, next } = await download.call(this, {
      method: 'GET',
      path: `/v1/archives/${archiveId}/export`,
      query: { table, format, ...(cursor !== undefined && { cursor }) },
      itemIndex,
    });
    if (next !== undefined && next === cursor) {
      throw new NodeOperationError(this.getNode(), 'The export does not come to an end', { itemIndex });
    }
    // The first part alone has the line of names, with the mark that says UTF-8; each file has both.
    if (cursor === undefined && format === 'csv') names = bytes.subarray(0, bytes.indexOf('\n') + 1);
    if (reading.bytes > 0 && reading.bytes + bytes.length > maxBytes) {
      files.push(await fileOf.call(this, reading, asked, files.length + 1));
      reading = { parts: [names], bytes: names.length };
    }
    reading.parts.push(bytes);
    reading.bytes += bytes.length;
    cursor = next;
  } while (cursor !== undefined);
  files.push(await fileOf.call(this, reading, asked, files.length + 1));
  return files;
}

async function fileOf(
  this: IExecuteFunctions,
  { parts, bytes }: Reading,
  { archiveId, table, format, field, name }: ReturnType<typeof readRequest>,
  number: number,
): Promise<FileItem> {
  const fileName = `${name}${number > 1 ? `-${number}` : ''}.${format}`;
  const file = await this.helpers.prepareBinaryData(Buffer.concat(parts), fileName, mimeTypes[format]);
  const json: IDataObject = { archiveId, table, format, fileName, fileNumber: number, bytes };
  return new FileItem(json, { [field]: file });
}

function readRequest(this: IExecuteFunctions, itemIndex: number) {
  const archiveId = readId.call(this, { field: 'archive', what: 'an archive' }, itemIndex);
  const table = String(this.getNodeParameter('table', itemIndex, 'contacts'));
  const format = String(this.getNodeParameter('format', itemIndex, 'ndjson'));
  const field = String(this.getNodeParameter('binaryPropertyName', itemIndex, 'data')).trim() || 'data';
  const options = this.getNodeParameter('options', itemIndex, {});
  const megabytes = Number(options.maxFileMegabytes ?? 50);
  if (!(megabytes >= minMegabytes)) {
    const message = `Max File Size must be ${minMegabytes} MB or more`;
    throw new NodeOperationError(this.getNode(), message, { itemIndex });
  }
  const name = String(options.fileName ?? '').trim() || table;
  return { archiveId, table, format, field, name, maxBytes: megabytes * 1_000_000 };
}
