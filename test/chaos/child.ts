import { connect } from '../../core/db/connect.ts';
import { guardedAgent } from '../../core/http/guard.ts';
import { applyResults, findAsk } from '../../core/research/callback.ts';
import { type DeadMessage, takeDeadLetters } from '../../core/research/dead-letters.ts';
import { dispatch } from '../../core/research/dispatch.ts';
import { enqueue, kickOff } from '../../core/research/enqueue.ts';
import { sweep } from '../../core/research/sweep.ts';
import { failingDb, failingHttp, failingQueue } from './failpoints.ts';

/** One step of the engine in a process of its own, which is killed at its `dieAt`-th failpoint. */
export type Step =
  | { does: 'enqueue'; campaignId: string; provider: string }
  | { does: 'dispatch'; jobIds: string[] }
  | { does: 'deadLetter'; letters: DeadMessage[] }
  | { does: 'callback'; askId: string; results: unknown[] }
  | { does: 'sweep' };
export interface Errand {
  step: Step;
  tenantId: string;
  workerUrl: string;
  apiUrl: string;
  /** Never, when it is absent: then all failpoints are told, in their order. */
  dieAt?: number;
}

const errand = JSON.parse(process.argv[2] ?? '') as Errand;
const passed: string[] = [];
const at = (name: string) => {
  passed.push(name);
  if (passed.length - 1 !== errand.dieAt) return;
  process.kill(process.pid, 'SIGKILL');
  // A signal to oneself is delivered before this returns, or a moment later: nothing else may happen first.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
};

const asApi = errand.step.does === 'enqueue' || errand.step.does === 'callback';
const db = connect(asApi ? errand.apiUrl : errand.workerUrl);
const http = guardedAgent({ allowedNetworks: ['127.0.0.0/8'], connections: 1 });
const deps = {
  db: failingDb(db, at),
  http: failingHttp(http, at),
  queue: failingQueue(at),
  deliveries: { send: async () => [] },
  log: { info: () => undefined, warn: () => undefined },
  clock: Date.now,
  publicUrl: 'http://127.0.0.1:1',
  claimLeaseSeconds: 60,
  concurrency: 1,
};
const bound = { ...deps, db: deps.db.forTenant(errand.tenantId) };
const plenty = { remainingMs: () => 60_000 };

const { step } = errand;
switch (step.does) {
  case 'enqueue': {
    const { campaignId, provider } = step;
    const request = {
      provider,
      kind: 'company',
      all: true,
      final: true,
      priority: 0,
      dryRun: false,
    } as const;
    const { batchId } = await enqueue(bound.db, errand.tenantId, campaignId, request);
    await kickOff(bound, batchId ?? '');
    break;
  }
  case 'dispatch':
    await dispatch(deps, step.jobIds, plenty);
    break;
  case 'deadLetter': {
    await takeDeadLetters(deps, 'research', step.letters);
    break;
  }
  case 'callback': {
    const ask = await findAsk(deps.db, step.askId);
    if (ask) await applyResults(bound, ask, step.results);
    break;
  }
  case 'sweep':
    await sweep(deps, plenty);
}
await db.close();
await http.destroy();
console.log(JSON.stringify(passed));
