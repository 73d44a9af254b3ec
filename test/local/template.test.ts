import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { root } from '../../local/stack/paths.ts';
import { readTemplate } from '../../local/stack/template.ts';

const folder = mkdtempSync(join(tmpdir(), 'aim-template-'));
const own = readFileSync(join(root, 'serverless.yml'), 'utf8');

afterAll(() => rmSync(folder, { recursive: true }));

/** Reads serverless.yml with one piece of its text replaced. */
function withChange(from: string, to: string) {
  if (!own.includes(from)) throw new Error(`serverless.yml has no ${from}`);
  const file = join(folder, 'changed.yml');
  writeFileSync(file, own.replace(from, to));
  return () => readTemplate(file);
}

test('what runs here is what is deployed: our reading of serverless.yml is that of `serverless print`', async () => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['node_modules/serverless/bin/serverless.js', 'print', '--format', 'json'],
    { cwd: root, env: { ...process.env, SLS_TELEMETRY_DISABLED: '1', SLS_NOTIFICATIONS_MODE: 'off' } },
  );
  const printed = join(folder, 'printed.json');
  writeFileSync(printed, stdout);

  expect(readTemplate()).toEqual(readTemplate(printed));
});

test('every function, event source, queue and schedule is there', () => {
  const { functions, queues } = readTemplate();

  expect(functions).toMatchObject([
    { name: 'api', hasUrl: true, timeoutSeconds: 29, sources: [], everySeconds: [] },
    { name: 'dispatch', sources: [{ queue: 'ResearchQueue', batchSize: 10, partialResponses: true }] },
    { name: 'deliver', sources: [{ queue: 'DeliveryQueue', batchSize: 10, partialResponses: true }] },
    {
      name: 'deadLetter',
      sources: [
        { queue: 'ResearchDeadLetters', batchSize: 10, partialResponses: true },
        { queue: 'DeliveryDeadLetters', batchSize: 10, partialResponses: true },
      ],
    },
    { name: 'sweep', everySeconds: [60] },
    { name: 'archive', timeoutSeconds: 900, everySeconds: [86_400] },
  ]);
  expect(queues).toMatchObject([
    { resource: 'ResearchQueue', deadLetters: { resource: 'ResearchDeadLetters', maxReceiveCount: 5 } },
    { resource: 'ResearchDeadLetters' },
    { resource: 'DeliveryQueue', deadLetters: { resource: 'DeliveryDeadLetters', maxReceiveCount: 5 } },
    { resource: 'DeliveryDeadLetters' },
  ]);
});

test('the API reaches the database as a role of its own, the other functions as the worker', () => {
  const { environment, functions } = readTemplate(undefined, {
    API_DATABASE_URL: 'api',
    WORKER_DATABASE_URL: 'worker',
  });
  const urls = functions.map(({ name, ...own }) => [
    name,
    { ...environment, ...own.environment }.DATABASE_URL,
  ]);
  expect(Object.fromEntries(urls)).toMatchObject({
    api: 'api',
    dispatch: 'worker',
    deadLetter: 'worker',
    sweep: 'worker',
    archive: 'worker',
  });
  expect(urls.filter(([, url]) => url === 'api')).toHaveLength(1);
});

test('what feeds its own queue, or calls itself, is not cut off as a loop', () => {
  const { resources } = parse(own) as { resources: { extensions: Record<string, unknown> } };
  const loops = { Properties: { RecursiveLoop: 'Allow' } };
  expect(resources.extensions).toEqual({
    DispatchLambdaFunction: loops,
    DeliverLambdaFunction: loops,
    ArchiveLambdaFunction: loops,
  });
});

test('a claim outlives the function that made it', () => {
  const { functions, environment } = readTemplate();
  const dispatch = functions.find(({ name }) => name === 'dispatch');

  expect(Number(environment.CLAIM_LEASE_SECONDS)).toBeGreaterThanOrEqual(
    dispatch?.timeoutSeconds ?? Infinity,
  );
});

test('a function outlives its statements, so that it can say that the database is away', () => {
  const { functions, environment } = readTemplate();
  for (const { environment: own, timeoutSeconds } of functions) {
    const { QUERY_TIMEOUT_MS } = { ...environment, ...own };
    expect(Number(QUERY_TIMEOUT_MS) + 4_000).toBeLessThanOrEqual(timeoutSeconds * 1_000);
  }
});

test.each([
  ['visibility below six timeouts', 'VisibilityTimeout: 720', 'VisibilityTimeout: 700', '6 × the timeout'],
  ['a big batch without a window', 'batchSize: 10', 'batchSize: 100', 'needs a maximumBatchingWindow'],
  ['an event source it does not know', '- sqs:', '- stream:', 'functions.dispatch.events'],
  [
    'a filter it would not apply',
    'batchSize: 10',
    'batchSize: 10\n          filterPatterns: []',
    'dispatch.events',
  ],
  ['a function setting it would ignore', 'timeout: 29', 'timeout: 29\n    layers: []', 'layers'],
  ['a cron schedule', 'rate(1 minute)', 'cron(0 3 * * ? *)', 'rate(N minutes|hours|days)'],
  [
    'a queue that is not here',
    'Fn::GetAtt: [ResearchQueue, Arn]',
    'Fn::GetAtt: [Elsewhere, Arn]',
    'not a queue',
  ],
  ['a queue setting it would ignore', 'VisibilityTimeout: 720', 'FifoQueue: true', 'FifoQueue'],
  ['a variable it cannot resolve', `\${env:PUBLIC_URL, ''}`, `\${ssm:/url}`, 'knows self, env'],
  [
    'a variable without a value',
    `\${env:WORKER_DATABASE_URL, ''}`,
    `\${env:NOT_SET_ANYWHERE}`,
    'no value and no default',
  ],
])('%s is refused with the reason', (_, from, to, reason) => {
  expect(withChange(from, to)).toThrow(reason);
});
