import { NodeApiError, NodeOperationError, sleep } from 'n8n-workflow';
import type { Contact } from '../../core/contract/contacts.ts';
import { campaignId, type FakeApi, fakeApi, type Seen } from './api.ts';
import { runNode } from './context.ts';

jest.mock('n8n-workflow', () => ({ ...jest.requireActual('n8n-workflow'), sleep: jest.fn(async () => {}) }));

let api: FakeApi;
beforeEach(async () => {
  api = await fakeApi();
  jest.mocked(sleep).mockClear();
});
afterEach(() => api.stop());

const contact = (index: number) =>
  ({ id: `contact-${index}`, campaignId, fullName: `Person ${index}` }) as Contact;
const people = (count: number) => Array.from({ length: count }, (_, index) => contact(index));
const getMany = { resource: 'contact', operation: 'getMany', campaign: campaignId };
const all = { ...getMany, returnAll: true };
const secondPage = ({ query }: Seen) => query.cursor === '1000';

test('every contact of a campaign comes exactly once, over as many pages as it takes', async () => {
  api.contacts = people(2_345);
  const output = await runNode(api, { parameters: all });
  expect(output.map(({ json }) => json.id)).toEqual(api.contacts.map(({ id }) => id));
  expect(api.seen.map(({ query }) => query.limit)).toEqual(['1000', '1000', '1000']);
});

test('a limit stops early and asks for no row too many', async () => {
  api.contacts = people(5_000);
  const output = await runNode(api, { parameters: { ...getMany, limit: 1_500 } });
  expect(output).toHaveLength(1_500);
  expect(api.seen.map(({ query }) => query.limit)).toEqual(['1000', '500']);
});

test('Return All may come as text', async () => {
  api.contacts = people(60);
  expect(await runNode(api, { parameters: { ...getMany, returnAll: 'false', limit: 5 } })).toHaveLength(5);
  expect(await runNode(api, { parameters: { ...getMany, returnAll: 'true' } })).toHaveLength(60);
});

test('a page shorter than asked for is not taken for the last', async () => {
  api.contacts = people(50);
  api.pageRows = 7;
  expect(await runNode(api, { parameters: all })).toHaveLength(50);
});

test('each input item gets its own walk, and its rows point back at it', async () => {
  api.contacts = people(3);
  const output = await runNode(api, { parameters: all, items: 2 });
  expect(output.map(({ pairedItem }) => pairedItem)).toEqual([0, 0, 0, 1, 1, 1].map((item) => ({ item })));
});

test('company and order reach the API', async () => {
  const companyId = '0198f0c2-0000-7000-8000-00000000000c';
  await runNode(api, { parameters: { ...all, options: { companyId, order: 'asc' } } });
  expect(api.seen[0]?.query).toEqual({ campaignId, companyId, order: 'asc', limit: '1000' });
});

test.each([null, undefined, '', ' '])(
  'a company ID that an expression did not find, %j, does not list all',
  async (companyId) => {
    api.contacts = people(3);
    await expect(runNode(api, { parameters: { ...all, options: { companyId } } })).rejects.toThrow(
      'Company ID is blank',
    );
    expect(api.seen).toEqual([]);
  },
);

test.each([429, 500, 502, 503, 504, 520, 530])(
  'a page that answers %i for a moment is asked for again',
  async (status) => {
    api.contacts = people(2_345);
    api.faults.push({ when: secondPage, status, times: 2 });
    const output = await runNode(api, { parameters: all });
    expect(new Set(output.map(({ json }) => json.id)).size).toBe(2_345);
    expect(output).toHaveLength(2_345);
  },
);

test('a connection that breaks in the middle is tried again', async () => {
  api.contacts = people(2_345);
  api.faults.push({ when: secondPage, cut: true, times: 2 });
  expect(await runNode(api, { parameters: all })).toHaveLength(2_345);
});

test('a page that stays broken fails its item: the rows before it are not passed on', async () => {
  api.contacts = people(2_345);
  api.faults.push({ when: secondPage, status: 500, times: Number.POSITIVE_INFINITY });
  const walk = runNode(api, { parameters: all });
  await expect(walk).rejects.toThrow(NodeApiError);
  await expect(walk).rejects.toMatchObject({ httpCode: '500', context: { itemIndex: 0 } });
  expect(api.seen.filter(secondPage)).toHaveLength(5);
});

test('with "continue on fail" a broken item gives its error and the others all their rows', async () => {
  api.contacts = people(1_500);
  api.faults.push({ when: secondPage, status: 500, times: 5 });
  const output = await runNode(api, { parameters: all, items: 2, continueOnFail: true });
  const ofItem = (item: number) =>
    output.filter(({ pairedItem }) => (pairedItem as { item: number }).item === item);
  expect(ofItem(0)).toEqual([
    { json: { error: expect.any(String), message: expect.any(String) }, pairedItem: { item: 0 } },
  ]);
  expect(ofItem(1)).toHaveLength(1_500);
});

test('it waits as long as Retry-After says, and longer from try to try without', async () => {
  api.faults.push({ when: () => true, status: 429, headers: { 'retry-after': '7' } });
  api.faults.push({ when: () => true, status: 503, times: 2 });
  await runNode(api, { parameters: all });
  const [first, second, third] = jest.mocked(sleep).mock.calls.map(([ms]) => ms);
  expect(first).toBe(7_000);
  expect(second).toBeGreaterThanOrEqual(1_000);
  expect(third).toBeGreaterThanOrEqual(2_000);
});

test('a problem shows its detail, and the path of each bad field', async () => {
  const parameters = { ...all, options: { companyId: 'acme' } };
  await expect(runNode(api, { parameters })).rejects.toMatchObject({
    message: 'the request is not valid',
    description: expect.stringMatching(/^companyId: .*\n\(invalid_request, request req-1\)$/s),
    httpCode: '400',
    context: { itemIndex: 0 },
  });
});

test('a wrong key is not tried again', async () => {
  const parameters = all;
  const wrong = { ...api, key: 'afl_wrong', url: api.url };
  await expect(runNode(wrong, { parameters })).rejects.toMatchObject({ message: 'the API key is not known' });
  expect(api.seen).toHaveLength(1);
});

test.each([
  ['a page of HTML', { status: 200, body: '<html>' }, /not the JSON of the Aim for Leads API/],
  ['JSON that is not a page', { status: 200, body: '{"items":[]}' }, /did not answer with a page of rows/],
  ['a redirect', { status: 302, headers: { location: '/elsewhere' } }, /redirect/],
])('%s is an error, never an empty list', async (_name, fault, message) => {
  api.faults.push({ when: () => true, ...fault });
  await expect(runNode(api, { parameters: all })).rejects.toThrow(message);
});

test.each([502, 503, 504])(
  'a bare %i that stays, of a proxy, is said to be a matter of time',
  async (status) => {
    api.faults.push({ when: () => true, status, times: 9, body: '<html>Bad Gateway</html>' });
    await expect(runNode(api, { parameters: all })).rejects.toMatchObject({
      message: `The Aim for Leads API is not reachable right now (HTTP status ${status})`,
      description: expect.stringMatching(/^Try again in a few minutes/),
    });
  },
);

test.each([0, -1, 1.5, 'ten'])('a limit of %s is refused', async (limit) => {
  await expect(runNode(api, { parameters: { ...getMany, limit } })).rejects.toThrow(NodeOperationError);
  expect(api.seen).toEqual([]);
});

test('a campaign that is not an ID is refused before anything is asked', async () => {
  const parameters = { ...all, campaign: 'Autumn' };
  await expect(runNode(api, { parameters })).rejects.toThrow('"Autumn" is not the ID of a campaign');
  expect(api.seen).toEqual([]);
});
