import type { InvokeArchive } from '../../core/archive/task.ts';
import type { Db, TenantDb } from '../../core/db/connect.ts';
import type { DeliveryQueue } from '../../core/deliveries/queue.ts';
import type { Caller } from '../../core/keys/authenticate.ts';
import type { Log, ResearchQueue } from '../../core/research/queue.ts';

/** What the API hands to the use cases. */
export interface ApiDeps {
  db: Db;
  queue: ResearchQueue;
  deliveries: DeliveryQueue;
  log: Log;
  clock: () => number;
  sleep: (ms: number) => Promise<unknown>;
  /** Why nothing may ever be asked at a URL, where it is plain already. */
  refusal: (url: string) => string | undefined;
  /** Has the archive function do what takes longer than a request may. */
  invokeArchive: InvokeArchive;
}

/** The same before it is known who asks: its statements see nobody's rows. */
export interface UnboundDeps extends ApiDeps {
  db: TenantDb;
}

/** What travels with a request through the middleware. */
export interface ApiEnv {
  /** What the Lambda adapter brings; nothing in tests. */
  Bindings: { lambdaContext?: { awsRequestId?: string } };
  Variables: {
    unbound: UnboundDeps;
    /** Bound to the tenant once it is known who asks. */
    deps: ApiDeps;
    requestId: string;
    caller: Caller;
    /** The body as it came, for signatures and for the hash of a repeatable request. */
    rawBody: string;
  };
}

/** From here on every statement of the request is this tenant's. */
export function bindTenant(
  c: { get(key: 'unbound'): UnboundDeps; set(key: 'deps', bound: ApiDeps): void },
  tenantId: string,
): void {
  const unbound = c.get('unbound');
  c.set('deps', { ...unbound, db: unbound.db.forTenant(tenantId) });
}
