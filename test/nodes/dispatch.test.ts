import { tryToParseDateTime } from 'n8n-workflow';
import { AimForLeads } from '../../nodes/AimForLeads/AimForLeads.node';
import { batchId, campaignId, type FakeApi, fakeApi } from './api.ts';
import { context, type Given, runNode } from './context.ts';

jest.mock('n8n-workflow', () => ({ ...jest.requireActual('n8n-workflow'), sleep: jest.fn(async () => {}) }));

let api: FakeApi;
beforeEach(async () => {
  api = await fakeApi();
});
afterEach(() => api.stop());

const id = (index: number) => `0198f0c2-0000-7000-8000-${String(index).padStart(12, '0')}`;
const ids = (count: number) => Array.from({ length: count }, (_, index) => id(index));
const dispatch = {
  resource: 'research',
  operation: 'dispatch',
  campaign: campaignId,
  provider: 'n8n',
  companies: 'all',
};
const byId = (companyIds: unknown) => ({ ...dispatch, companies: 'ids', companyIds });
const keys = () => api.seen.map(({ idempotencyKey }) => idempotencyKey);

test('all companies of a campaign are dispatched in one sealed batch', async () => {
  const [item] = await runNode(api, { parameters: dispatch });
  expect(api.dispatched).toMatchObject([{ provider: 'n8n', kind: 'company', all: true, final: true }]);
  expect(item?.json).toMatchObject({ batchId, status: 'open', expanding: true, dryRun: false });
});

test('2,345 companies build one batch in three calls, of which the last seals it', async () => {
  const [item] = await runNode(api, { parameters: byId(ids(2_345)) });
  expect(api.dispatched.map((part) => [part.companyIds?.length, part.batchId, part.final])).toEqual([
    [1000, undefined, false],
    [1000, batchId, false],
    [345, batchId, true],
  ]);
  expect(item?.json).toMatchObject({ batchId, accepted: 2_345, rejected: [] });
});

test('a node that is retried dispatches nothing again', async () => {
  const given: Given = { parameters: byId(ids(2_345)) };
  api.faults.push({ when: ({ body }) => body.final === true, status: 400, body: '{}' });
  await expect(runNode(api, given)).rejects.toThrow();
  await runNode(api, given);
  await runNode(api, given);
  expect(api.dispatched).toHaveLength(3);
  expect(new Set(keys()).size).toBe(3);
});

test('a part that fails for good names the batch, what it has accepted and how to finish it', async () => {
  const given: Given = { parameters: byId(ids(2_345)) };
  const detail = { code: 'forbidden', detail: 'the key lacks the scope', requestId: 'req-1' };
  const refusal = { status: 403, body: JSON.stringify(detail) };
  api.faults.push({ when: ({ body }) => body.final === true, times: 2, ...refusal });
  await expect(runNode(api, given)).rejects.toMatchObject({
    message: 'the key lacks the scope',
    description: expect.stringMatching(
      new RegExp(
        `^\\(forbidden, request req-1\\)\nBatch ${batchId} was begun: 2000 companies were accepted before.* from number 2001 `,
      ),
    ),
    httpCode: '403',
    context: { itemIndex: 0 },
  });
  const [item] = await runNode(api, { ...given, continueOnFail: true });
  expect(item?.json.message).toContain(batchId);
});

test('a part that fails is named by the first place of what was given twice', async () => {
  const given = [...ids(1_500), id(1_000)];
  api.faults.push({ when: ({ body }) => body.final === true, status: 403, body: '{}' });
  await expect(runNode(api, { parameters: byId(given) })).rejects.toMatchObject({
    description: expect.stringContaining(' from number 1001 '),
  });
});

test('the error of a later item names the batches that the items before have begun', async () => {
  const campaign = (itemIndex: number) => (itemIndex === 2 ? '' : campaignId);
  const parameters = { ...dispatch, campaign };
  await expect(runNode(api, { parameters, items: 3 })).rejects.toMatchObject({
    message: '"" is not the ID of a campaign',
    description: expect.stringContaining(`which go on: ${batchId}, ${batchId}.`),
  });
});

test.each(['Workflow was started', { id: batchId }])(
  'JSON of another server is no answer, so nothing is said to be dispatched: %j',
  async (message) => {
    api.faults.push({ when: () => true, status: 200, body: JSON.stringify({ message }) });
    await expect(runNode(api, { parameters: dispatch })).rejects.toMatchObject({
      message: expect.stringContaining('not the JSON of the Aim for Leads API'),
      description: expect.stringContaining('base URL'),
    });
  },
);

test('domains that differ in case are left to the service, for it knows which are one', async () => {
  const domains = ['youtube.com/channel/UCaB', 'youtube.com/channel/UCAb'];
  await runNode(api, { parameters: { ...dispatch, companies: 'domains', domains } });
  expect(api.dispatched[0]?.domains).toEqual(domains);
});

test.each([
  ['Kind', { kind: '' }],
  ['Kind', { kind: null }],
  ['Kind', { kind: undefined }],
  ['Run At', { runAt: ' ' }],
  ['Run At', { runAt: null }],
  ['Run At', { runAt: undefined }],
])('%s that was added and is blank dispatches nothing: %j', async (title, options) => {
  await expect(runNode(api, { parameters: { ...dispatch, options } })).rejects.toThrow(`${title} is blank`);
  expect(api.seen).toEqual([]);
});

test('a first part that fails has no batch to finish', async () => {
  api.faults.push({ when: () => true, status: 400, body: '{}' });
  await expect(runNode(api, { parameters: byId(ids(2_345)) })).rejects.toMatchObject({
    description: expect.not.stringContaining('batch'),
  });
});

test('an answer that was lost on the way is asked for again under the same key', async () => {
  api.faults.push({ when: () => true, cut: true });
  const [item] = await runNode(api, { parameters: byId(ids(5)) });
  expect(item?.json.accepted).toBe(5);
  expect(api.dispatched).toHaveLength(1);
  expect(api.seen).toHaveLength(2);
});

test('another item, execution, round of a loop, or selection has another key', async () => {
  const parameters = byId(ids(3));
  await runNode(api, { parameters, items: 2 });
  await runNode(api, { parameters, executionId: '18' });
  await runNode(api, { parameters, runIndex: 1 });
  await runNode(api, { parameters: byId(ids(4)) });
  expect(new Set(keys()).size).toBe(5);
  expect(api.dispatched).toHaveLength(5);
});

test.each([2, 3] as const)(
  'an agent of version %i that tries its tool again dispatches nothing again, and one that asks something else does',
  async (tool) => {
    for (const runIndex of [0, 1, 2]) await runNode(api, { parameters: byId(ids(3)), tool, runIndex });
    expect(api.dispatched).toHaveLength(1);
    await runNode(api, { parameters: byId(ids(4)), tool, runIndex: 3 });
    expect(api.dispatched).toHaveLength(2);
  },
);

test('a list in JSON, as agents write it, is one', async () => {
  await runNode(api, { parameters: byId(JSON.stringify(ids(2))) });
  expect(api.dispatched[0]?.companyIds).toEqual(ids(2));
});

test('a blank has its place in the list', async () => {
  await expect(runNode(api, { parameters: byId([id(1), '', 'bad']) })).rejects.toMatchObject({
    description: expect.stringContaining('number 3 of 3'),
  });
});

test('IDs may be a list or text, with blanks and doubles', async () => {
  await runNode(api, { parameters: byId(` ${id(1)},\n${id(2)} ; ${id(1).toUpperCase()}\n`) });
  await runNode(api, { parameters: byId([id(3), id(3)]) });
  expect(api.dispatched.map((part) => part.companyIds)).toEqual([[id(1), id(2)], [id(3)]]);
});

test('domains are sent as people write them, one a line', async () => {
  const parameters = {
    ...dispatch,
    companies: 'domains',
    domains: 'https://www.n8n.io/\nexample.com, example.org',
  };
  await runNode(api, { parameters });
  expect(api.dispatched[0]?.domains).toEqual(['https://www.n8n.io/', 'example.com', 'example.org']);
});

test('a malformed ID among thousands is named, and nothing is dispatched', async () => {
  const wrong = [...ids(1_500), 'acme', ...ids(10)];
  await expect(runNode(api, { parameters: byId(wrong) })).rejects.toMatchObject({
    message: '"acme" is not the ID of a company',
    description: expect.stringContaining('number 1501 of 1511'),
  });
  expect(api.seen).toEqual([]);
});

test.each([
  [['a.com', null], 'Domains has null in the place of a domain', 'number 2 of 2'],
  [
    [{ domain: 'a.com' }, 'b.com'],
    'Domains has {"domain":"a.com"} in the place of a domain',
    'number 1 of 2',
  ],
  [{ domain: 'a.com' }, 'Domains has {"domain":"a.com"} in the place of a domain', 'number 1 of 1'],
  [['a.com', ['b.com']], 'Domains has ["b.com"] in the place of a domain', 'number 2 of 2'],
])(
  'in %j what is no text is named with its place, and nothing is dispatched',
  async (domains, message, place) => {
    const parameters = { ...dispatch, companies: 'domains', domains };
    await expect(runNode(api, { parameters })).rejects.toMatchObject({
      message,
      description: expect.stringContaining(place),
      context: { itemIndex: 0 },
    });
    expect(api.seen).toEqual([]);
  },
);

test('a choice of companies that there is not is named, with those that there are', async () => {
  await expect(
    runNode(api, { parameters: { ...dispatch, companies: 'domain', domains: 'a.com' } }),
  ).rejects.toMatchObject({
    message: 'Companies cannot be "domain"',
    description: expect.stringContaining('all, domains or ids'),
  });
});

test('an empty list is an error, not a batch of nothing', async () => {
  await expect(runNode(api, { parameters: byId(' ') })).rejects.toThrow('There are no companies to research');
});

test('a rejected company is named by its place in what the user gave', async () => {
  api.rejectAt = [900];
  const given = { parameters: byId([id(0), ...ids(1_950)]) };
  const { functions, hints } = context(api, given);
  const [[item] = []] = await new AimForLeads().execute.call(functions);
  expect(item?.json.rejected).toEqual([
    { path: 'companyIds[901]', code: 'not_found', message: 'no such company', value: id(900) },
    { path: 'companyIds[1901]', code: 'not_found', message: 'no such company', value: id(1900) },
  ]);
  expect(hints).toEqual([expect.stringContaining('2 companies were rejected')]);
});

test('where n8n takes no hints, as from tools of an agent in older versions, a rejected company fails nothing', async () => {
  api.rejectAt = [0];
  const { functions } = context(api, { parameters: byId(ids(2)) });
  const [[item] = []] = await new AimForLeads().execute.call({ ...functions, addExecutionHints: undefined });
  expect(item?.json).toMatchObject({ batchId, accepted: 1, rejected: [{ value: id(0) }] });
});

test('a dry run is asked for as one, in every part', async () => {
  const [item] = await runNode(api, { parameters: { ...byId(ids(1_001)), dryRun: true } });
  expect(api.dispatched.map(({ dryRun, batchId }) => ({ dryRun, batchId }))).toEqual([
    { dryRun: true },
    { dryRun: true },
  ]);
  expect(item?.json).toMatchObject({ batchId: null, accepted: 1_001, dryRun: true });
});

test.each(['true', ' TRUE '])('a dry run that is asked for as text, %j, is one too', async (dryRun) => {
  const [item] = await runNode(api, { parameters: { ...dispatch, dryRun } });
  expect(api.dispatched).toMatchObject([{ dryRun: true }]);
  expect(item?.json).toMatchObject({ batchId: null, dryRun: true });
});

describe('Run At', () => {
  const runAt = async (value: unknown) => {
    await runNode(api, { parameters: { ...dispatch, options: { runAt: value } } });
    return api.dispatched[0]?.runAt;
  };
  test.each([
    ['2026-12-01T09:00:00', '2026-12-01T08:00:00.000Z'],
    ['2026-07-01T09:00', '2026-07-01T07:00:00.000Z'],
    [' 2026-12-01 ', '2026-11-30T23:00:00.000Z'],
    ['2026-12-01 09:00:00', '2026-12-01T08:00:00.000Z'],
  ])('%j, without a zone, is a time of the zone of the workflow', async (given, sent) => {
    expect(await runAt(given)).toBe(sent);
  });

  test.each([
    ['2026-12-01T09:00:00Z'],
    ['2026-12-01T04:00:00.000-05:00'],
    ['2026-12-01T10:00:00+0100'],
    [Date.UTC(2026, 11, 1, 9)],
    [String(Date.UTC(2026, 11, 1, 9))],
    [new Date('2026-12-01T09:00:00Z')],
    // As n8n gives it: a DateTime of Luxon.
    [tryToParseDateTime('2026-12-01T09:00:00Z', 'America/New_York')],
  ])('%s is that moment', async (given) => {
    expect(await runAt(given)).toBe('2026-12-01T09:00:00.000Z');
  });

  test.each([
    'soon',
    '01.12.2026',
    '12/01/2026',
    'Tue, 01 Dec 2026 09:00:00 GMT',
    '2026',
    '10:00',
    '2026-13-01',
    '2026-02-30',
    '2026-12-01T25:00',
    new Date('soon'),
    Number.NaN,
    {},
    ['2026-12-01'],
    true,
  ])('%j is refused, and what would do is said', async (given) => {
    await expect(runAt(given)).rejects.toMatchObject({
      message: expect.stringMatching(/^Run At is .*, which is not a time/),
      description: expect.stringContaining('2026-12-01T09:00:00'),
      context: { itemIndex: 0 },
    });
    expect(api.seen).toEqual([]);
  });
});

describe('Priority', () => {
  const priority = async (value: unknown) => {
    await runNode(api, { parameters: { ...dispatch, options: { priority: value } } });
    return api.dispatched[0]?.priority;
  };
  test.each([
    [3, 3],
    ['5', 5],
    ['', undefined],
    [null, undefined],
  ])('%j is sent as %j', async (given, sent) => {
    expect(await priority(given)).toBe(sent);
  });
  test.each(['high', 10, -1, 1.5, true, [7], ' '])('%j is refused', async (given) => {
    await expect(priority(given)).rejects.toThrow('Priority must be a whole number from 0 to 9');
    expect(api.seen).toEqual([]);
  });
});

test('a bad field of the request is shown with its path', async () => {
  const parameters = { ...dispatch, options: { kind: 'Not A Kind' } };
  await expect(runNode(api, { parameters })).rejects.toMatchObject({
    description: expect.stringContaining('kind: '),
    context: { itemIndex: 0 },
  });
});
