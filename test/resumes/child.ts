import { connect } from '../../core/db/connect.ts';
import type { DeliveryQueue } from '../../core/deliveries/queue.ts';
import { guardedAgent } from '../../core/http/guard.ts';
import { closeBatches } from '../../core/research/batches.ts';
import { deliverResumes } from '../../core/resumes/deliver.ts';
import { sendDueResumes } from '../../core/resumes/send.ts';
import { failingDb, failingHttp, failingQueue } from '../chaos/failpoints.ts';

/** One step of a resume in a process of its own, which is killed at its `dieAt`-th failpoint. */
export interface Errand {
  does: 'end' | 'deliver' | 'sweep';
  batchId: string;
  workerUrl: string;
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

const db = connect(errand.workerUrl);
const http = guardedAgent({ allowedNetworks: ['127.0.0.0/8'], connections: 1 });
const deps = {
  db: failingDb(db, at),
  http: failingHttp(http, at),
  // What it sends is lost with it.
  deliveries: failingQueue(at) as unknown as DeliveryQueue,
  log: { info: () => undefined, warn: () => undefined },
  clock: Date.now,
  random: () => 1,
  concurrency: 1,
};
if (errand.does === 'end') await closeBatches(deps, [errand.batchId]);
if (errand.does === 'deliver') await deliverResumes(deps, [errand.batchId], { remainingMs: () => 60_000 });
if (errand.does === 'sweep') await sendDueResumes(deps, { hasTime: () => true });
await db.close();
await http.destroy();
console.log(JSON.stringify(passed));
