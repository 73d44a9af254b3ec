import { sleep } from 'n8n-workflow';
import { AimForLeads } from '../../nodes/AimForLeads/AimForLeads.node';
import { idempotencyKey } from '../../nodes/AimForLeads/actions/idempotencyKey';
import { until } from '../../nodes/AimForLeads/actions/until';
import { request } from '../../nodes/AimForLeads/transport/request';
import { campaignId, type FakeApi, fakeApi } from './api.ts';
import { context, runNode } from './context.ts';

jest.mock('n8n-workflow', () => ({ ...jest.requireActual('n8n-workflow'), sleep: jest.fn(async () => {}) }));

// What n8n, a proxy or a person who stops an execution does to a request.
let api: FakeApi;
beforeEach(async () => {
  api = await fakeApi();
  jest.mocked(sleep).mockClear();
});
afterEach(() => api.stop());
const all = { resource: 'contact', operation: 'getMany', campaign: campaignId, returnAll: true };
const waits = () => jest.mocked(sleep).mock.calls.map(([ms]) => ms);

test('a POST without a key of its own is sent once, whatever the answer is', async () => {
  const { functions } = context(api, { parameters: {} });
  const post = { method: 'POST' as const, path: `/v1/campaigns/${campaignId}/research`, body: {} };
  for (const fault of [{ status: 503 }, { cut: true }]) {
    api.seen.length = 0;
    api.faults.push({ when: () => true, ...fault });
    await expect(request.call(functions, post)).rejects.toThrow();
    expect(api.seen).toHaveLength(1);
  }
});

test('once the execution is stopped nothing is tried again', async () => {
  const { functions } = context(api, { parameters: all });
  const stopped = AbortSignal.abort();
  Object.assign(functions, { getExecutionCancelSignal: () => stopped });
  api.faults.push({ when: () => true, status: 503, times: 9 });
  await expect(new AimForLeads().execute.call(functions)).rejects.toThrow();
  expect(api.seen).toHaveLength(1);
});

test('once the execution is stopped nothing is waited for', async () => {
  const { functions } = context(api, { parameters: {} });
  const stopping = new AbortController();
  Object.assign(functions, { getExecutionCancelSignal: () => stopping.signal });
  let looks = 0;
  const look = async () => {
    if (++looks === 3) stopping.abort();
    return { json: { state: 'archiving' }, done: looks > 5 };
  };
  expect(await until.call(functions, 60, look)).toEqual({ state: 'archiving', timedOut: true });
  expect(looks).toBe(3);
});

test.each([
  ['a page without a word about the next', '{"data":[]}'],
  ['a page whose next is the page itself', '{"data":[],"next":"1000"}'],
])('%s is an error, and no end of the list', async (_, body) => {
  api.contacts = Array.from({ length: 2_000 }, (_unused, n) => ({ id: `contact-${n}`, campaignId }) as never);
  api.faults.push({ when: ({ query }) => query.cursor === '1000', status: 200, body });
  await expect(runNode(api, { parameters: all })).rejects.toThrow('did not answer with a page of rows');
});

test('Retry-After may be a date, and is not waited for longer than a minute', async () => {
  const inTenSeconds = new Date(Date.now() + 10_000).toUTCString();
  for (const value of [inTenSeconds, '3600', '0'])
    api.faults.push({ when: () => true, status: 429, headers: { 'retry-after': value } });
  await runNode(api, { parameters: all });
  const [date = 0, hour, none] = waits();
  expect(date).toBeGreaterThan(8_000);
  expect(date).toBeLessThanOrEqual(10_000);
  expect([hour, none]).toEqual([60_000, 0]);
});

test('another workflow, n8n or node that asks the same has another key', () => {
  const keyOf = (more: object) => {
    const { functions } = context(api, { parameters: {} });
    return idempotencyKey.call(Object.assign(functions, more), 0, ['same']);
  };
  const node = context(api, { parameters: {} }).functions.getNode();
  const keys = [
    {},
    { getInstanceId: () => 'instance-2' },
    { getWorkflow: () => ({ id: 'workflow-2', active: false }) },
    { getNode: () => ({ ...node, id: 'node-2' }) },
    { getExecutionId: () => '18' },
  ].map(keyOf);
  expect(new Set(keys).size).toBe(keys.length);
  expect(keyOf({})).toBe(keys[0]);
});
