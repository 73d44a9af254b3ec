import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { root } from './paths.ts';

const Target = z.object({ 'Fn::GetAtt': z.tuple([z.string(), z.literal('Arn')]) });

const FunctionEntry = z.strictObject({
  // These make no difference to how a function runs here.
  name: z.string().optional(),
  description: z.string().optional(),
  role: z.string().optional(),
  memorySize: z.number().optional(),
  environment: z.record(z.string(), z.string()).default({}),
  package: z.unknown().optional(),
  handler: z.string().regex(/^dist\/lambdas\/\w+\.handler$/, 'must be dist/lambdas/<name>.handler'),
  timeout: z.number().positive(),
  url: z.literal(true).optional(),
  events: z
    .array(
      z.union([
        z.strictObject({
          sqs: z.strictObject({
            arn: Target,
            batchSize: z.number().int().min(1).max(10_000).default(10),
            maximumBatchingWindow: z.number().min(0).max(300).default(0),
            functionResponseType: z.literal('ReportBatchItemFailures').optional(),
            maximumConcurrency: z.number().int().min(2).max(1000).default(10),
          }),
        }),
        z.strictObject({
          schedule: z.strictObject({
            method: z.literal('scheduler'),
            roleArn: z.unknown().optional(),
            rate: z.union([z.string().transform((rate) => [rate]), z.array(z.string())]),
          }),
        }),
      ]),
    )
    .default([]),
});

const Template = z.object({
  provider: z.object({ environment: z.record(z.string(), z.unknown()) }),
  functions: z.record(z.string(), FunctionEntry),
  resources: z.object({ Resources: z.record(z.string(), z.looseObject({ Type: z.string() })) }),
});

export interface QueueDefinition {
  /** Its key below `Resources`. */
  resource: string;
  name: string;
  /** As CreateQueue takes them. `RedrivePolicy` names the resource of the dead-letter queue. */
  attributes: Record<string, string>;
  deadLetters?: { resource: string; maxReceiveCount: number };
}

export interface SqsSource {
  queue: string;
  batchSize: number;
  windowSeconds: number;
  concurrency: number;
  partialResponses: boolean;
}

export interface FunctionDefinition {
  name: string;
  /** The bundle that exports `handler`. */
  bundle: string;
  /** Its own, before that of all functions. */
  environment: Record<string, string>;
  timeoutSeconds: number;
  hasUrl: boolean;
  sources: SqsSource[];
  everySeconds: number[];
}

export interface StackTemplate {
  environment: Record<string, string>;
  functions: FunctionDefinition[];
  queues: QueueDefinition[];
}

/**
 * Reads what to run from serverless.yml, the file that is deployed.
 * @param env what `${env:…}` is read from
 * @throws Error that names whatever it holds that this stack could not run as AWS would
 */
export function readTemplate(file = join(root, 'serverless.yml'), env = process.env): StackTemplate {
  const raw: unknown = parse(readFileSync(file, 'utf8'));
  const parsed = Template.safeParse(resolve(raw, raw, env));
  if (!parsed.success) throw new Error(cannotRun(parsed.error));
  const { provider, functions, resources } = parsed.data;
  const queues = Object.entries(resources.Resources)
    .filter(([, resource]) => resource.Type === 'AWS::SQS::Queue')
    .map(([name, resource]) => readQueue(name, resource.Properties));
  return {
    // References to resources get their local values from the stack.
    environment: Object.fromEntries(
      Object.entries(provider.environment).filter(
        (entry): entry is [string, string] => typeof entry[1] === 'string',
      ),
    ),
    queues,
    functions: Object.entries(functions).map(([name, entry]) => {
      const sources = entry.events.flatMap((event) => ('sqs' in event ? [event.sqs] : []));
      for (const { batchSize, maximumBatchingWindow, arn } of sources) {
        const queue = queues.find(({ resource }) => resource === arn['Fn::GetAtt'][0]);
        if (!queue)
          throw new Error(`serverless.yml: ${name} reads ${arn['Fn::GetAtt'][0]}, which is not a queue here`);
        if (batchSize > 10 && maximumBatchingWindow === 0) {
          throw new Error(`serverless.yml: ${name}: a batch size over 10 needs a maximumBatchingWindow`);
        }
        if (Number(queue.attributes.VisibilityTimeout ?? 30) < 6 * entry.timeout) {
          throw new Error(
            `serverless.yml: ${queue.resource}: its visibility must be at least 6 × the timeout of ${name}`,
          );
        }
      }
      return {
        name,
        bundle: join(root, entry.handler.replace(/\.handler$/, '.cjs')),
        environment: entry.environment,
        timeoutSeconds: entry.timeout,
        hasUrl: entry.url === true,
        sources: sources.map((source) => ({
          queue: source.arn['Fn::GetAtt'][0],
          batchSize: source.batchSize,
          windowSeconds: source.maximumBatchingWindow,
          concurrency: source.maximumConcurrency,
          partialResponses: source.functionResponseType === 'ReportBatchItemFailures',
        })),
        everySeconds: entry.events.flatMap((event) =>
          'schedule' in event ? event.schedule.rate.map(seconds) : [],
        ),
      };
    }),
  };
}

/** Queue attributes that make a difference here; encryption and who may redrive make none. */
const QueueProperties = z.strictObject({
  QueueName: z.string(),
  VisibilityTimeout: z.number().int().min(0).max(43_200).optional(),
  MessageRetentionPeriod: z.number().int().min(60).max(1_209_600).optional(),
  DelaySeconds: z.number().int().min(0).max(900).optional(),
  ReceiveMessageWaitTimeSeconds: z.number().int().min(0).max(20).optional(),
  MaximumMessageSize: z.number().int().min(1_024).max(1_048_576).optional(),
  RedrivePolicy: z
    .strictObject({ deadLetterTargetArn: Target, maxReceiveCount: z.number().int().min(1).max(1000) })
    .optional(),
  RedriveAllowPolicy: z.unknown().optional(),
  SqsManagedSseEnabled: z.boolean().optional(),
});

function readQueue(resource: string, properties: unknown): QueueDefinition {
  const parsed = QueueProperties.safeParse(properties);
  if (!parsed.success) throw new Error(cannotRun(parsed.error, `resources.Resources.${resource}.Properties`));
  const {
    QueueName,
    RedrivePolicy,
    RedriveAllowPolicy: _,
    SqsManagedSseEnabled: __,
    ...attributes
  } = parsed.data;
  return {
    resource,
    name: QueueName,
    attributes: Object.fromEntries(Object.entries(attributes).map(([key, value]) => [key, String(value)])),
    ...(RedrivePolicy && {
      deadLetters: {
        resource: RedrivePolicy.deadLetterTargetArn['Fn::GetAtt'][0],
        maxReceiveCount: RedrivePolicy.maxReceiveCount,
      },
    }),
  };
}

function cannotRun({ issues: [issue] }: z.ZodError, at?: string): string {
  const path = [...(at ? [at] : []), ...(issue?.path ?? [])].join('.');
  return `serverless.yml: ${path}: ${issue?.message}; the local stack cannot run this`;
}

function seconds(rate: string): number {
  const [, count, unit] = /^rate\((\d+) (minute|hour|day)s?\)$/.exec(rate) ?? [];
  if (!count)
    throw new Error(`serverless.yml: schedule ${rate}: the local stack knows rate(N minutes|hours|days)`);
  return Number(count) * { minute: 60, hour: 3600, day: 86_400 }[unit as 'minute' | 'hour' | 'day'];
}

/** Resolves `${self:…}`, `${env:NAME, 'default'}` and `${opt:NAME, 'default'}`, nested values included. */
function resolve(value: unknown, whole: unknown, env: NodeJS.ProcessEnv): unknown {
  if (Array.isArray(value)) return value.map((each) => resolve(each, whole, env));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, resolve(each, whole, env)]));
  }
  if (typeof value !== 'string') return value;
  const alone = /^\$\{self:([\w.]+)\}$/.exec(value)?.[1];
  if (alone) return resolve(lookUp(whole, alone), whole, env);
  const resolved = value.replace(
    /\$\{(self|env|opt):([\w.]+)(?:,\s*'([^']*)')?\}/g,
    (_, source, name, fallback) => {
      if (source === 'self') return String(resolve(lookUp(whole, name), whole, env));
      const found = (source === 'env' ? env[name] : undefined) ?? fallback;
      if (found === undefined)
        throw new Error(`serverless.yml: \${${source}:${name}} has no value and no default`);
      return found;
    },
  );
  const unknown = /\$\{\w+:(?!:)[^}]*\}/.exec(resolved)?.[0];
  if (unknown) throw new Error(`serverless.yml: ${unknown}: the local stack knows self, env and opt`);
  return resolved;
}

function lookUp(whole: unknown, path: string): unknown {
  const found = path
    .split('.')
    .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], whole);
  if (found === undefined) throw new Error(`serverless.yml: \${self:${path}} names nothing`);
  return found;
}
