import { createHash } from 'node:crypto';
import { z } from 'zod';
import { digits } from '../contract/json.ts';
import { excerpt, storable, storableJson } from '../contract/text.ts';
import type { FieldError } from '../errors.ts';
import type { Outcome, ProspectFound } from './settle.ts';

const maxResultBytes = 1024 * 1024;
/** Far below what JSON.stringify or Postgres refuse, whatever a result is put into later. */
const maxDepth = 500;

/** As we write them, however they came back. */
const EchoedId = z.uuid().toLowerCase();

const JobResult = z.discriminatedUnion('status', [
  z.looseObject({
    jobId: EchoedId,
    attemptId: EchoedId,
    status: z.literal('completed'),
    research: z.unknown().optional(),
    prospects: z.unknown().optional(),
  }),
  z.looseObject({
    jobId: EchoedId,
    attemptId: EchoedId,
    status: z.literal('failed'),
    error: z.preprocess(
      (error) => (typeof error === 'string' ? { message: error } : (error ?? {})),
      z.looseObject({
        code: z.string().max(100).default('provider_failed'),
        message: z.string().default('the provider gave no reason'),
        retryable: z.boolean().default(false),
      }),
    ),
  }),
  z.looseObject({ jobId: EchoedId, attemptId: EchoedId, status: z.literal('processing') }),
]);

/**
 * Reads one result as a provider sent it, immediately or by callback. What is inside `research` and `prospects` is
 * kept whatever it is: it was paid for.
 * @param value one element of `results`
 * @param index its place, for the error's path
 */
export function readResult(value: unknown, index: number): { outcome: Outcome } | { error: FieldError } {
  const parsed = JobResult.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const path = ['results', index, ...(issue?.path ?? [])].join('.');
    return { error: { path, code: issue?.code ?? 'invalid', message: issue?.message ?? 'not a result' } };
  }
  const result = parsed.data;
  const base = { jobId: result.jobId, attemptId: result.attemptId };
  if (result.status === 'processing') return { outcome: { ...base, type: 'renewed' } };
  if (result.status === 'failed') {
    const { code, message, retryable } = result.error;
    return {
      outcome: {
        ...base,
        type: retryable ? 'retry' : 'failed',
        errorCode: storable(code),
        errorMessage: excerpt(message, 2000),
      },
    };
  }
  try {
    return { outcome: { ...base, type: 'completed', ...readFindings(result.research, result.prospects) } };
  } catch (error) {
    const message =
      error instanceof RangeError ? 'the result is nested too deeply' : (error as Error).message;
    return { outcome: { ...base, type: 'failed', errorCode: 'invalid_result', errorMessage: message } };
  }
}

/** The job and the attempt that a value names, be it a result or not, as we write them. */
export function namedIn(value: unknown): { jobId: string; attemptId: string } {
  const { jobId, attemptId } = (value ?? {}) as { jobId?: unknown; attemptId?: unknown };
  const text = (id: unknown) => (typeof id === 'string' ? id.toLowerCase() : '');
  return { jobId: text(jobId), attemptId: text(attemptId) };
}

/** What becomes of the job that something names which is no result: asked again, it would come again, and cost again. */
export function spoiled(job: { jobId: string; attemptId: string }, { path, message }: FieldError): Outcome {
  return { ...job, type: 'failed', errorCode: 'invalid_result', errorMessage: `${path}: ${message}` };
}

function readFindings(research: unknown, prospects: unknown) {
  // A paid result is not thrown away for one such character.
  const source = storableJson({ research, prospects });
  const tooLarge = new Error('the result is larger than 1 MiB');
  if (Buffer.byteLength(source) > maxResultBytes) throw tooLarge;
  const clean = JSON.parse(source) as { research?: unknown; prospects?: unknown };
  if (!isFlatEnough(clean)) throw new RangeError();
  if (Buffer.byteLength(source) + writtenOut(clean) > maxResultBytes) throw tooLarge;
  const people = clean.prospects === undefined || clean.prospects === null ? [] : [clean.prospects].flat();
  return { ...splitResearch(clean.research), prospects: people.map(readProspect) };
}

function splitResearch(research: unknown): { summary: string | null; findings: unknown; sources: unknown } {
  if (typeof research === 'string') return { summary: research, findings: {}, sources: [] };
  if (!isRecord(research)) return { summary: null, findings: research ?? {}, sources: [] };
  const { summary, findings, sources, ...rest } = research;
  const more =
    typeof summary === 'string' || summary === undefined || summary === null ? rest : { ...rest, summary };
  const extra = Object.keys(more).length > 0;
  return {
    summary: typeof summary === 'string' ? summary : null,
    findings: !extra
      ? (findings ?? {})
      : isRecord(findings)
        ? { ...more, ...findings }
        : { ...more, findings },
    sources: sources ?? [],
  };
}

const personFields = ['fullName', 'email', 'title', 'phone', 'linkedin'] as const;

function readProspect(value: unknown): ProspectFound {
  const source: Record<string, unknown> = isRecord(value) ? { ...value } : { value };
  if (source.fullName === undefined && typeof source.name === 'string') {
    source.fullName = source.name;
    delete source.name;
  }
  const attributes = isRecord(source.attributes) ? { ...source.attributes } : {};
  const known: Partial<Record<(typeof personFields)[number], string>> = {};
  for (const [key, content] of Object.entries(source)) {
    const field = personFields.find((name) => name === key);
    if (field && typeof content === 'string') known[field] = content.trim();
    else if (key !== 'attributes' || !isRecord(content)) attributes[key] = content;
  }
  const digest = createHash('sha256').update(JSON.stringify(value)).digest('hex');
  const key = known.email
    ? `email:${known.email.toLowerCase()}`
    : known.linkedin
      ? `linkedin:${known.linkedin.toLowerCase()}`
      : `digest:${digest}`;
  return {
    naturalKey: key.length > 600 ? `digest:${digest}` : key,
    fullName: known.fullName ?? null,
    email: known.email ?? null,
    title: known.title ?? null,
    phone: known.phone ?? null,
    linkedin: known.linkedin ?? null,
    attributes,
  };
}

function isFlatEnough(value: unknown, depth = maxDepth): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return depth > 0 && Object.values(value).every((inner) => isFlatEnough(inner, depth - 1));
}

/** What Postgres adds when it writes out the numbers that JSON has with an exponent. */
function writtenOut(value: unknown): number {
  if (typeof value === 'number') return String(value).includes('e') ? digits(value) : 0;
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce<number>((sum, inner) => sum + writtenOut(inner), 0);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
