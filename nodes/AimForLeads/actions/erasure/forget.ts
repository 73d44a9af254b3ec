import {
  type IDataObject,
  type IExecuteFunctions,
  type INodeProperties,
  type INodePropertyOptions,
  NodeOperationError,
} from 'n8n-workflow';
import { request } from '../../transport/request';
import { idempotencyKey } from '../idempotencyKey';
import { readWait, until, waitFields } from '../until';

const show = { resource: ['erasure'], operation: ['forget'] };

export const option: INodePropertyOptions = {
  name: 'Forget a Person',
  value: 'forget',
  action: 'Forget a person',
  description: 'Erase a person by email address everywhere, archives included; this cannot be undone',
};

export const fields: INodeProperties[] = [
  {
    displayName: 'Email',
    name: 'email',
    type: 'string',
    required: true,
    default: '',
    placeholder: 'e.g. nathan@example.com',
    description: 'A whole address, in whatever case. Contacts and prospects with it are deleted for good.',
    displayOptions: { show },
  },
  ...waitFields(show),
];

/** Answers as soon as it is begun or, when asked to, once the person is forgotten. */
export async function execute(this: IExecuteFunctions, itemIndex: number): Promise<IDataObject[]> {
  const email = String(this.getNodeParameter('email', itemIndex, '')).trim();
  if (email === '') {
    throw new NodeOperationError(this.getNode(), 'There is no email address of whom to forget', {
      itemIndex,
    });
  }
  const minutes = readWait.call(this, itemIndex);
  const begun = await request.call(this, {
    method: 'POST',
    path: '/v1/erasures',
    body: { email },
    has: ['id', 'state'],
    idempotencyKey: idempotencyKey.call(this, itemIndex, ['forget', email]),
    itemIndex,
  });
  if (minutes === undefined) return [begun];
  const look = async () => {
    const path = `/v1/erasures/${String(begun.id)}`;
    const json = await request.call(this, { method: 'GET', path, has: ['state'], itemIndex });
    return { json, done: json.state === 'done' };
  };
  return [await until.call(this, minutes, look)];
}
