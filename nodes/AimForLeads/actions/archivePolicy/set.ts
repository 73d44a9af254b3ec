import {
  type IDataObject,
  type IExecuteFunctions,
  type INodeProperties,
  type INodePropertyOptions,
  NodeOperationError,
} from 'n8n-workflow';
import { request } from '../../transport/request';
import { readBoolean } from '../readBoolean';
import { refuseBlank } from '../refuseBlank';

const show = { resource: ['archivePolicy'], operation: ['set'] };

export const option: INodePropertyOptions = {
  name: 'Set',
  value: 'set',
  action: 'Set the archive policy',
  description:
    'Set when campaigns are archived by themselves, and how long archives are kept, from the next night on',
};

export const fields: INodeProperties[] = [
  {
    displayName: 'The policy is replaced as a whole: what is left out here does not hold any more',
    name: 'wholeNotice',
    type: 'notice',
    default: '',
    displayOptions: { show },
  },
  {
    displayName: 'Rules',
    name: 'options',
    type: 'collection',
    placeholder: 'Add rule',
    default: {},
    displayOptions: { show },
    options: [
      {
        displayName: 'Closed Campaigns',
        name: 'closed',
        type: 'boolean',
        default: true,
        description: 'Whether to archive campaigns that were closed by hand',
      },
      {
        displayName: 'Delete Archives After (Days)',
        name: 'retentionDays',
        type: 'number',
        typeOptions: { minValue: 1, maxValue: 36_500 },
        default: 730,
        description: 'Delete archives that are older, for good, with their campaign',
      },
      {
        displayName: 'Ended For (Days)',
        name: 'endedDays',
        type: 'number',
        typeOptions: { minValue: 1, maxValue: 3650 },
        default: 30,
        description: 'Archive a campaign all batches of which ended so long ago',
      },
      {
        displayName: 'Idle For (Days)',
        name: 'idleDays',
        type: 'number',
        typeOptions: { minValue: 1, maxValue: 3650 },
        default: 90,
        description: 'Archive a campaign in which nothing changed for so long',
      },
    ],
  },
];

export async function execute(this: IExecuteFunctions, itemIndex: number): Promise<IDataObject[]> {
  const rules = this.getNodeParameter('options', itemIndex, {});
  const titles = {
    idleDays: 'Idle For',
    endedDays: 'Ended For',
    retentionDays: 'Delete Archives After',
  };
  refuseBlank.call(this, rules, titles, itemIndex);
  const days = (name: keyof typeof titles): number | null => {
    if (rules[name] === undefined) return null;
    const value = Number(rules[name]);
    if (Number.isInteger(value) && value >= 1) return value;
    throw new NodeOperationError(this.getNode(), `${titles[name]} must be a whole number of days from 1 on`, {
      description: 'Remove the field if it is not to hold.',
      itemIndex,
    });
  };
  const body = {
    idleDays: days('idleDays'),
    endedDays: days('endedDays'),
    closed: readBoolean.call(this, 'options.closed', 'Closed Campaigns', itemIndex),
    retentionDays: days('retentionDays'),
  };
  return [
    await request.call(this, {
      method: 'PUT',
      path: '/v1/archive-policy',
      body,
      has: ['retentionDays'],
      itemIndex,
    }),
  ];
}
