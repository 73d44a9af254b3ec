import type { INodeProperties } from 'n8n-workflow';
import { campaignField } from '../../pickers/campaign';
import { providerField } from '../../pickers/provider';

const show = { resource: ['research'], operation: ['dispatch'] };

export const fields: INodeProperties[] = [
  {
    ...campaignField,
    description: 'The campaign whose companies to research',
    displayOptions: { show },
  },
  {
    ...providerField,
    displayOptions: { show },
  },
  {
    displayName: 'Companies',
    name: 'companies',
    type: 'options',
    default: 'all',
    options: [
      { name: 'All in the Campaign', value: 'all' },
      { name: 'By Domain', value: 'domains' },
      { name: 'By ID', value: 'ids' },
    ],
    displayOptions: { show },
  },
  {
    displayName:
      'Each input item makes a batch of its own. For one batch over all items, turn on Execute Once in the settings and give a list, such as <code>{{ $input.all().map((item) => item.json.companyId) }}</code>',
    name: 'oneBatchNotice',
    type: 'notice',
    default: '',
    displayOptions: { show: { ...show, companies: ['ids', 'domains'] } },
  },
  {
    displayName: 'Company IDs',
    name: 'companyIds',
    type: 'string',
    typeOptions: { rows: 3 },
    required: true,
    default: '',
    placeholder: 'e.g. 0198f0c2-6a44-7c11-9d1f-3f1b7a5e2c10',
    description: 'One a line or separated by commas, or an expression that gives a list. Any number.',
    displayOptions: { show: { ...show, companies: ['ids'] } },
  },
  {
    displayName: 'Domains',
    name: 'domains',
    type: 'string',
    typeOptions: { rows: 3 },
    required: true,
    default: '',
    placeholder: 'e.g. n8n.io',
    description:
      'One a line or separated by commas, or an expression that gives a list. Any number; URLs will do. The companies must be in the campaign.',
    displayOptions: { show: { ...show, companies: ['domains'] } },
  },
  {
    displayName: 'Dry Run',
    name: 'dryRun',
    type: 'boolean',
    default: false,
    description: 'Whether to only count what would be dispatched, and change nothing',
    displayOptions: { show },
  },
  {
    displayName: 'Wait for Completion',
    name: 'wait',
    type: 'boolean',
    default: false,
    description:
      'Whether to put the execution to sleep until every company is researched, and then go on with one item that says how the batch ended',
    displayOptions: { show: { ...show, dryRun: [false] } },
  },
  {
    displayName:
      'An execution sleeps for one batch: this node must run once. Join the branches of an If or Switch with a Merge before it, and give all companies in one list.',
    name: 'waitOnceNotice',
    type: 'notice',
    default: '',
    displayOptions: { show: { ...show, dryRun: [false], wait: [true] } },
  },
  {
    displayName: 'Limit Wait To (Hours)',
    name: 'waitHours',
    type: 'number',
    typeOptions: { minValue: 0.01, maxValue: 720, numberPrecision: 2 },
    default: 168,
    description:
      'Go on after so many hours at the latest, with "timedOut" set in the output. The batch itself goes on.',
    displayOptions: { show: { ...show, dryRun: [false], wait: [true] } },
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
        displayName: 'Kind',
        name: 'kind',
        type: 'string',
        default: 'company',
        placeholder: 'e.g. company',
        description:
          'What is researched. A company has one result for each kind: lower-case letters, digits, _ and -.',
      },
      {
        displayName: 'Priority',
        name: 'priority',
        type: 'number',
        typeOptions: { minValue: 0, maxValue: 9 },
        default: 0,
        description: 'From 0 to 9',
      },
      {
        displayName: 'Run At',
        name: 'runAt',
        type: 'dateTime',
        default: '',
        description:
          'Not before this time. Without a zone, the zone of the workflow counts. Give a fixed time: one that changes when the node is retried is refused.',
      },
    ],
  },
];
