import type { ILoadOptionsFunctions } from 'n8n-workflow';
import { AimForLeads } from '../../nodes/AimForLeads/AimForLeads.node';
import { batchId, campaignId, type FakeApi, fakeApi } from './api.ts';
import { context, runNode } from './context.ts';

let api: FakeApi;
beforeEach(async () => {
  api = await fakeApi();
});
afterEach(() => api.stop());

const { searchCampaigns } = new AimForLeads().methods.listSearch;
const pick = (filter?: string, token?: string) =>
  searchCampaigns.call(
    context(api, { parameters: {} }).functions as unknown as ILoadOptionsFunctions,
    filter,
    token,
  );
const campaigns = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ id: `id-${index}`, name: `Campaign ${index}` }));

test('a job is read by its ID, for each input item', async () => {
  const parameters = { resource: 'job', operation: 'get', jobId: ` ${batchId} ` };
  const output = await runNode(api, { parameters, items: 2 });
  expect(output).toEqual(
    [0, 1].map((item) => ({ json: { id: batchId, status: 'queued' }, pairedItem: { item } })),
  );
});

test('a job that does not exist fails the item that asked for it', async () => {
  const missing = '0198f0c2-0000-7000-8000-0000000000ff';
  const jobId = (item: number) => (item === 1 ? missing : batchId);
  const parameters = { resource: 'job', operation: 'get', jobId };
  await expect(runNode(api, { parameters, items: 3 })).rejects.toMatchObject({
    httpCode: '404',
    context: { itemIndex: 1 },
  });
});

test('what is not an ID never becomes part of an address', async () => {
  const parameters = { resource: 'job', operation: 'get', jobId: '../campaigns' };
  await expect(runNode(api, { parameters })).rejects.toThrow('"../campaigns" is not the ID of a job');
  expect(api.seen).toEqual([]);
});

describe('a switch that an expression sets', () => {
  const campaign = campaignId;
  const archive = { resource: 'archive', campaign, archive: campaign };
  const dispatch = {
    resource: 'research',
    operation: 'dispatch',
    campaign,
    provider: 'n8n',
    companies: 'all',
  };
  const forget = { resource: 'erasure', operation: 'forget', email: 'ann@example.com' };
  test.each([
    ['Dry Run', (dryRun: unknown) => ({ ...dispatch, dryRun })],
    ['Wait for Completion', (wait: unknown) => ({ ...dispatch, wait })],
    ['Return All', (returnAll: unknown) => ({ ...archive, operation: 'getMany', returnAll })],
    ['Cancel Open Jobs', (cancelOpenJobs: unknown) => ({ ...archive, operation: 'archive', cancelOpenJobs })],
    ['Wait Until Done', (waitUntilDone: unknown) => ({ ...forget, waitUntilDone })],
    [
      'Closed Campaigns',
      (closed: unknown) => ({ resource: 'archivePolicy', operation: 'set', options: { closed } }),
    ],
  ])('%s is neither true nor false: nothing is sent, and the error says what came', async (title, given) => {
    for (const [value, shown] of [
      ['yes', '"yes"'],
      ['', '""'],
      [1, '1'],
      [null, 'null'],
      [() => undefined, 'undefined'],
    ]) {
      await expect(runNode(api, { parameters: given(value) })).rejects.toMatchObject({
        message: `${title} is ${shown}, neither true nor false`,
        description: expect.stringContaining('Give true or false'),
        context: { itemIndex: 0 },
      });
    }
    expect(api.seen).toEqual([]);
  });
});

test('the campaign picker hands out one page after the other', async () => {
  api.campaigns = campaigns(250);
  const first = await pick();
  expect(first.results).toHaveLength(100);
  const second = await pick(undefined, first.paginationToken);
  expect(second.results[0]).toEqual({ name: 'Campaign 100', value: 'id-100' });
});

test('the campaign picker finds a name on a late page, whatever its case', async () => {
  api.campaigns = [...campaigns(2_500), { id: 'id-x', name: 'Spring' }];
  expect(await pick('sPRING')).toEqual({ results: [{ name: 'Spring', value: 'id-x' }] });
});

test('every operation of the menu has a description, an action and fields of its own', () => {
  const { properties } = new AimForLeads().description;
  const menus = properties.filter(({ name }) => name === 'operation');
  expect(menus.map(({ displayOptions }) => displayOptions?.show?.resource)).toEqual([
    ['archive'],
    ['archivePolicy'],
    ['contact'],
    ['erasure'],
    ['job'],
    ['research'],
  ]);
  for (const { options = [] } of menus) {
    for (const option of options) {
      expect(option).toMatchObject({ action: expect.any(String), description: expect.any(String) });
      const shown = properties.filter(({ displayOptions }) =>
        displayOptions?.show?.operation?.includes((option as { value: string }).value),
      );
      expect(shown.length).toBeGreaterThan(0);
    }
  }
});
