import { z } from 'zod';
import { pageFields, pageOf } from './page.ts';
import { Id, slugPattern, Time, text, Version } from './text.ts';

const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export const ProviderName = z
  .string()
  .regex(slugPattern)
  .refine((name) => !uuidPattern.test(name), {
    message: 'a name that looks like an id cannot be told from one',
  })
  .meta({ example: 'n8n' });
export const ProviderNameOrId = text({ min: 1, max: 63 }).meta({ description: "The provider's name or id." });

/** Where we POST to: http or https, without credentials. Whether its address may be asked is known when connecting. */
export const Url = text({ min: 1, max: 2000 })
  // A scheme is the same in any case; all else is sent as it was given, for a signature may be in it.
  .overwrite((url) => url.replace(/^https?:/i, (scheme) => scheme.toLowerCase()))
  .refine((url) => URL.canParse(url) && /^https?:\/\//.test(url), {
    message: 'give an http(s) URL',
    params: { code: 'invalid_url' },
  })
  .refine((url) => !URL.canParse(url) || (new URL(url).username === '' && new URL(url).password === ''), {
    message:
      'the URL must not carry a user name or password: it would show in lists; use a path that is hard to guess',
    params: { code: 'credentials_in_url' },
  });

const Secret = z.string().refine(isSecret, {
  message: 'give whsec_ and the base64 of 24 to 64 random bytes, or leave it out to have one made',
  params: { code: 'invalid_secret' },
});

function isSecret(secret: string): boolean {
  const base64 = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret)?.[1] ?? '';
  const bytes = Buffer.from(base64, 'base64');
  return bytes.toString('base64') === base64 && bytes.length >= 24 && bytes.length <= 64;
}

/** A whole provider: what is left out gets its default, save the secret, which is kept or made. */
export const ProviderDraft = z
  .strictObject({
    kind: z.literal('webhook'),
    url: Url,
    secret: Secret.optional().meta({ description: 'Signs asks and callbacks; made when absent and new.' }),
    batchSize: z.int().min(1).max(100).default(10).meta({ description: 'Companies a request.' }),
    ratePerSecond: z.number().min(0.001).max(100_000).nullable().default(null),
    concurrency: z
      .int()
      .min(1)
      .max(1_000_000)
      .nullable()
      .default(null)
      .meta({ description: 'Jobs in work at once.' }),
    timeoutMs: z.int().min(100).max(90_000).default(30_000),
    leaseSeconds: z
      .int()
      .min(1)
      .max(86_400)
      .default(1200)
      .meta({ description: 'How long a callback may take.' }),
    maxRetries: z.int().min(0).max(20).default(3),
    weight: z
      .int()
      .min(1)
      .max(100)
      .default(1)
      .meta({ description: 'Its share of what is sent out at once, against your other providers.' }),
  })
  .meta({ id: 'ProviderDraft', example: { kind: 'webhook', url: 'https://n8n.example/webhook/research' } });
export type ProviderDraft = z.infer<typeof ProviderDraft>;

export const Provider = z
  .strictObject({
    id: Id,
    name: z.string(),
    kind: z.enum(['webhook', 'clay']),
    url: z.string(),
    batchSize: z.int(),
    ratePerSecond: z.number().nullable(),
    concurrency: z.int().nullable(),
    timeoutMs: z.int(),
    leaseSeconds: z.int(),
    maxRetries: z.int(),
    weight: z.int(),
    pausedUntil: Time.nullable().meta({ description: 'Nothing is asked before.' }),
    circuit: z.enum(['closed', 'open', 'half_open']).meta({
      description:
        'Open after failures in a row: jobs wait, none is used up, until `pausedUntil`. Half open: one job probes.',
    }),
    circuitReason: z.string().nullable().meta({ description: 'The error that opened the circuit.' }),
    adaptedRate: z.number().nullable().meta({
      description: 'Companies a second, for now, because the provider complained; null when it does not.',
    }),
    version: Version,
    createdAt: Time,
    updatedAt: Time,
  })
  .meta({ id: 'Provider' });
export type Provider = z.infer<typeof Provider>;

export const ProviderWithSecret = z
  .strictObject({
    ...Provider.shape,
    secret: z
      .string()
      .optional()
      .meta({ description: 'Only when it was just made or set; keep it, it is not shown again.' }),
  })
  .meta({ id: 'ProviderWithSecret' });
export type ProviderWithSecret = Provider & { secret?: string };

export const ProviderQuery = z.strictObject({ ...pageFields });
export type ProviderQuery = z.infer<typeof ProviderQuery>;

export const ProviderPage = pageOf(Provider).meta({ id: 'ProviderPage' });
