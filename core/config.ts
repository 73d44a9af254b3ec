import { z } from 'zod';

const Environment = z.object({
  DATABASE_URL: z.string().min(1),
  RESEARCH_QUEUE_URL: z.string().min(1),
  DELIVERY_QUEUE_URL: z.string().min(1),
  // AWS prints the function URL with a slash at its end.
  PUBLIC_URL: z
    .string()
    .transform((url) => url.replace(/\/+$/, ''))
    .pipe(z.string().regex(/^https?:\/\/./, 'an http(s) URL')),
  PROVIDER_ALLOWED_NETWORKS: z.string().default(''),
  CLAIM_LEASE_SECONDS: z.coerce.number().int().positive().default(120),
  DISPATCH_CONCURRENCY: z.coerce.number().int().positive().default(50),
  ARCHIVE_FUNCTION: z.string().min(1).default('archive'),
  QUERY_TIMEOUT_MS: z.coerce.number().int().positive().default(25_000),
  SLOW_STATEMENT_MS: z.coerce.number().int().positive().default(1000),
});

export interface Config {
  /** Of the role that the function acts as: aim_api for the API, aim_worker for the others. */
  databaseUrl: string;
  researchQueueUrl: string;
  deliveryQueueUrl: string;
  /** Base of the callback URLs that providers are given. */
  publicUrl: string;
  /** Private networks (CIDR) that providers may live in; none by default. */
  providerAllowedNetworks: string[];
  claimLeaseSeconds: number;
  dispatchConcurrency: number;
  /** The name of the function that archives. */
  archiveFunction: string;
  /** Statements without answer for as long as this are given up; below the life of the function. */
  queryTimeoutMs: number;
  /** Statements that take as long as this are logged. */
  slowStatementMs: number;
}

/**
 * Reads the environment, the only place that does.
 * @throws Error that names every missing or wrong variable at once
 */
export function config(env: NodeJS.ProcessEnv = process.env): Config {
  const parsed = Environment.safeParse(env);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new Error(`the environment is not complete: ${problems.join('; ')}`);
  }
  const e = parsed.data;
  return {
    databaseUrl: e.DATABASE_URL,
    researchQueueUrl: e.RESEARCH_QUEUE_URL,
    deliveryQueueUrl: e.DELIVERY_QUEUE_URL,
    publicUrl: e.PUBLIC_URL,
    providerAllowedNetworks: e.PROVIDER_ALLOWED_NETWORKS.split(',')
      .map((network) => network.trim())
      .filter((network) => network !== ''),
    claimLeaseSeconds: e.CLAIM_LEASE_SECONDS,
    dispatchConcurrency: e.DISPATCH_CONCURRENCY,
    archiveFunction: e.ARCHIVE_FUNCTION,
    queryTimeoutMs: e.QUERY_TIMEOUT_MS,
    slowStatementMs: e.SLOW_STATEMENT_MS,
  };
}
