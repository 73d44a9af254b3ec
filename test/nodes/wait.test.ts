import type { IWebhookFunctions } from 'n8n-workflow';
import { AimForLeads } from '../../nodes/AimForLeads/AimForLeads.node';
import { campaignId, type FakeApi, fakeApi } from './api.ts';
import { context, type Given, resumeUrl } from './context.ts';

let api: FakeApi;
beforeEach(async () => {
  api = await fakeApi();
});
afterEach(() => api.stop());

const hour = 60 * 60 * 1000;
const day = 24 * hour;
const dispatch = {
  resource: 'research',
  operation: 'dispatch',
  campaign: campaignId,
  provider: 'n8n',
  companies: 'all',
  wait: true,
};
async function run(given: Given) {
  const { functions, sleeps } = context(api, given);
  const startedAt = Date.now();
  const [output] = await new AimForLeads().execute.call(functions);
  return { output, sleptMs: sleeps.map((until) => until.getTime() - startedAt) };
}
const wake = async (body: object) =>
  (await new AimForLeads().webhook.call({ getBodyData: () => body } as unknown as IWebhookFunctions))
    .workflowData;

test('a dispatch that waits hands over its resume URL as it is, and sleeps a week and a day', async () => {
  const { sleptMs } = await run({ parameters: dispatch });
  expect(api.dispatched).toMatchObject([{ resumeUrl, resumeWithinSeconds: 7 * 24 * 3600, final: true }]);
  expect(sleptMs).toHaveLength(1);
  // The service ends the wait at its limit; n8n alone would only a day later.
  expect(Math.abs((sleptMs[0] ?? 0) - 8 * day)).toBeLessThan(hour);
});

test('without the option, or in a dry run, nothing waits', async () => {
  expect((await run({ parameters: { ...dispatch, wait: false } })).sleptMs).toEqual([]);
  expect((await run({ parameters: { ...dispatch, dryRun: true } })).sleptMs).toEqual([]);
  expect(api.dispatched.map((request) => request.resumeUrl)).toEqual([undefined, undefined]);
});

test('"true" and "false" as text, as webhooks give them, are read as such', async () => {
  expect((await run({ parameters: { ...dispatch, wait: 'true', dryRun: 'false' } })).sleptMs).toHaveLength(1);
  expect((await run({ parameters: { ...dispatch, wait: 'False' }, runIndex: 1 })).sleptMs).toEqual([]);
  expect(api.dispatched.map((request) => request.resumeUrl)).toEqual([resumeUrl, undefined]);
});

test('the limit is the one that was set', async () => {
  const { sleptMs } = await run({ parameters: { ...dispatch, waitHours: 0.5 } });
  expect(api.dispatched[0]?.resumeWithinSeconds).toBe(1_800);
  expect(Math.abs((sleptMs[0] ?? 0) - day - hour / 2)).toBeLessThan(hour / 4);
  await expect(run({ parameters: { ...dispatch, waitHours: 0 } })).rejects.toThrow('between 0.01 and 720');
});

test('a batch of several calls carries the URL in each', async () => {
  const companyIds = Array.from(
    { length: 1_500 },
    (_, index) => `0198f0c2-0000-7000-8000-${String(index).padStart(12, '0')}`,
  );
  await run({ parameters: { ...dispatch, companies: 'ids', companyIds } });
  expect(api.dispatched.map((request) => request.resumeUrl)).toEqual([resumeUrl, resumeUrl]);
});

test('a retry of the node asks the same, so nothing is dispatched twice', async () => {
  await run({ parameters: dispatch });
  await run({ parameters: dispatch });
  expect(api.dispatched).toHaveLength(1);
});

test('an execution sleeps for one batch only: more items are refused before anything is dispatched', async () => {
  await expect(run({ parameters: dispatch, items: 2 })).rejects.toThrow(
    'Wait for Completion takes one input item',
  );
  expect(api.seen).toEqual([]);
});

test('a dispatch that fails does not sleep', async () => {
  api.faults.push({ when: () => true, status: 400, body: '{}' });
  const { functions, sleeps } = context(api, { parameters: dispatch, continueOnFail: true });
  await new AimForLeads().execute.call(functions);
  expect(sleeps).toEqual([]);
});

test('the end of the batch becomes one item', async () => {
  const ended = { type: 'batch.ended', batchId: 'b', status: 'completed', counts: { completed: 3 } };
  expect(await wake(ended)).toEqual([[{ json: { ...ended, timedOut: false }, pairedItem: { item: 0 } }]]);
});

test('a wait that reached its limit says so', async () => {
  const open = { type: 'batch.open', batchId: 'b', status: 'open', counts: { queued: 3 } };
  expect(await wake(open)).toMatchObject([[{ json: { ...open, timedOut: true } }]]);
});
