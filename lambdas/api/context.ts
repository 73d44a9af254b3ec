import type { Db } from '../../core/db/connect.ts';
import type { Caller } from '../../core/keys/authenticate.ts';
import type { Log, ResearchQueue } from '../../core/research/queue.ts';

/** What the API hands to the use cases. */
export interface ApiDeps {
  db: Db;
  queue: ResearchQueue;
  log: Log;
  clock: () => number;
}

/** What travels with a request through the middleware. */
export interface ApiEnv {
  /** What the Lambda adapter brings; nothing in tests. */
  Bindings: { lambdaContext?: { awsRequestId?: string } };
  Variables: {
    deps: ApiDeps;
    requestId: string;
    caller: Caller;
    /** The body as it came, for signatures and for the hash of a repeatable request. */
    rawBody: string;
  };
}
