import { AimForLeads } from '../../nodes/AimForLeads/AimForLeads.node';
import { batchId, campaignId, type FakeApi, fakeApi } from './api.ts';
import { type Contexts, context, type Given, resumeUrl, waking } from './context.ts';

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
  const { functions, sleeps, contexts } = context(api, given);
  const startedAt = Date.now();
  const [output] = await new AimForLeads().execute.call(functions);
  return { output, contexts, sleptMs: sleeps.map((until) => until.getTime() - startedAt) };
}
/** What n8n is told when the resume URL of an execution is asked. */
const wake = (body: object, contexts: Contexts) => new AimForLeads().webhook.call(waking(body, contexts));

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
  const { contexts } = await run({ parameters: dispatch });
  const ended = { type: 'batch.ended', batchId, status: 'completed', counts: { completed: 3 } };
  expect(await wake(ended, contexts)).toEqual({
    webhookResponse: { resumed: true },
    workflowData: [
      [{ json: { ...ended, timedOut: false, rejectedCount: 0, rejected: [] }, pairedItem: { item: 0 } }],
    ],
  });
});

test('a wait that reached its limit says so', async () => {
  const { contexts } = await run({ parameters: dispatch });
  const open = { type: 'batch.open', batchId, status: 'open', counts: { queued: 3 } };
  expect((await wake(open, contexts)).workflowData).toMatchObject([[{ json: { ...open, timedOut: true } }]]);
});

test('in a loop, a repeat for the batch before is taken, and wakes nothing', async () => {
  const first = await run({ parameters: dispatch });
  api.batchId = '0198f0c2-0000-7000-8000-00000000000c';
  const { contexts } = await run({ parameters: dispatch, runIndex: 1, contexts: first.contexts });
  expect(await wake({ type: 'batch.ended', batchId }, contexts)).toEqual({
    webhookResponse: { resumed: false },
  });
  const woken = await wake({ type: 'batch.ended', batchId: api.batchId }, contexts);
  expect(woken.workflowData).toMatchObject([[{ json: { batchId: api.batchId } }]]);
});

test.each([undefined, null, {}, [], { type: 'batch.ended' }])(
  'what is not from the service wakes nothing: %j',
  async (body) => {
    const { contexts } = await run({ parameters: dispatch });
    expect(await wake(body, contexts)).toEqual({ webhookResponse: { resumed: false } });
  },
);

test.each([2, 3] as const)(
  'a tool of an agent of version %i cannot wait, and says so before anything is dispatched',
  async (tool) => {
    await expect(run({ parameters: dispatch, tool })).rejects.toThrow('cannot wait');
    expect(api.dispatched).toEqual([]);
  },
);

test('what was rejected comes with the end of the batch, the first hundred in full', async () => {
  api.rejectAt = Array.from({ length: 120 }, (_, index) => index);
  const companyIds = Array.from(
    { length: 130 },
    (_, index) => `0198f0c2-0000-7000-8000-${String(index).padStart(12, '0')}`,
  );
  const { contexts } = await run({ parameters: { ...dispatch, companies: 'ids', companyIds } });
  const [[item] = []] = (await wake({ type: 'batch.ended', batchId }, contexts)).workflowData ?? [];
  expect(item?.json).toMatchObject({ batchId, timedOut: false, rejectedCount: 120 });
  expect(item?.json.rejected).toHaveLength(100);
  expect(item?.json.rejected).toMatchObject({ 99: { path: 'companyIds[99]', value: companyIds[99] } });
});

test('an execution that went to sleep before the node was updated is woken as ever', async () => {
  expect((await wake({ type: 'batch.ended', batchId }, {})).workflowData).toHaveLength(1);
});
