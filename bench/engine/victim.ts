import { dispatch } from '../../core/research/dispatch.ts';
import { onOrphaned } from '../../local/stack/orphan.ts';
import { engine } from './ours.ts';

/** A worker that is killed while it waits for an answer. */
const { workerUrl, jobIds, leaseSeconds } = JSON.parse(process.argv[2] ?? '');
onOrphaned(() => process.exit(0));
const { deps } = engine(workerUrl, { connections: 1 });
await dispatch({ ...deps, claimLeaseSeconds: leaseSeconds }, jobIds, { remainingMs: () => 60_000 });
