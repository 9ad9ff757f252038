/** The client's `links`, `runs` and `conflicts`. Links are named by id or name. */
import type {
  Conflict,
  Link,
  LinkPatch,
  LinkStatus,
  NewLink,
  Page,
  QuarantinedItem,
  RemovedLink,
  Resolution,
  Run,
  RunOp,
  StartedRun,
} from '../api/contract.ts';
import { SyncError } from './sync-error.ts';
import type { Transport } from './transport.ts';

export interface PageQuery {
  readonly limit?: number;
  readonly cursor?: string;
}

export interface LinkCalls {
  create(link: NewLink): Promise<Link>;
  list(): Promise<readonly Link[]>;
  get(link: string): Promise<Link>;
  patch(link: string, changes: LinkPatch): Promise<Link>;
  /** Disconnects; leaves the data of both sides alone. */
  remove(link: string): Promise<RemovedLink>;
  pause(link: string): Promise<Link>;
  resume(link: string): Promise<Link>;
  /** New epoch: compares anew, deletes nothing. */
  reset(link: string): Promise<Link>;
  status(link: string): Promise<LinkStatus>;
  quarantined(link: string): Promise<readonly QuarantinedItem[]>;
}

export interface WaitOptions {
  /** Give up after this long; default 10 minutes. */
  readonly timeoutMs?: number;
  /** Look this often; default 200 ms. */
  readonly pollMs?: number;
  readonly onProgress?: (run: Run) => void;
}

export interface RunCalls {
  /** Asks for a run; joins one that waits already. */
  start(link: string, reason?: string): Promise<StartedRun>;
  list(link: string, query?: PageQuery): Promise<Page<Run>>;
  get(run: string): Promise<Run>;
  /** What the run wrote or, when parked, would write. */
  ops(run: string, limit?: number): Promise<readonly RunOp[]>;
  /** Lets a parked run go on with exactly its plan. */
  approve(plan: string): Promise<StartedRun>;
  /** Resolves once the run is settled, parked or failed. @throws SyncError TIMEOUT */
  wait(run: string, options?: WaitOptions): Promise<Run>;
}

export interface ConflictCalls {
  list(
    query?: PageQuery & { readonly linkId?: string; readonly status?: Conflict['status'] },
  ): Promise<Page<Conflict>>;
  get(conflict: string): Promise<Conflict>;
  resolve(conflict: string, resolution: Resolution): Promise<Conflict>;
}

const read = { isRepeatable: true } as const;
/** Doing these twice leaves the same state. */
const repeatable = { isRepeatable: true } as const;
const once = { isRepeatable: false } as const;

const at = (part: string): string => encodeURIComponent(part);

/** Calls about links. */
export function linkCalls({ call }: Transport): LinkCalls {
  const path = (link: string, tail = ''): string => `/api/sync/links/${at(link)}${tail}`;
  return {
    create: (link) => call('POST', '/api/sync/links', { ...once, body: link }),
    list: async () => (await call<Page<Link>>('GET', '/api/sync/links', read)).items,
    get: (link) => call('GET', path(link), read),
    patch: (link, changes) => call('PATCH', path(link), { ...repeatable, body: changes }),
    remove: (link) => call('DELETE', path(link), once),
    pause: (link) => call('POST', path(link, '/pause'), repeatable),
    resume: (link) => call('POST', path(link, '/resume'), repeatable),
    reset: (link) => call('POST', path(link, '/reset'), once),
    status: (link) => call('GET', path(link, '/status'), read),
    quarantined: async (link) =>
      (await call<Page<QuarantinedItem>>('GET', path(link, '/quarantined'), read)).items,
  };
}

const DEFAULT_WAIT_MS = 600_000;
const DEFAULT_POLL_MS = 200;

/** Calls about runs and plans. */
export function runCalls({ call }: Transport): RunCalls {
  const get = (run: string): Promise<Run> => call('GET', `/api/sync/runs/${at(run)}`, read);
  const ofLink = (link: string): string => `/api/sync/links/${at(link)}/runs`;
  return {
    // Asking again joins the run that waits, so a lost answer may be asked for twice.
    start: (link, reason) =>
      call('POST', ofLink(link), { ...repeatable, body: reason === undefined ? {} : { reason } }),
    list: (link, query) => call('GET', ofLink(link), { ...read, query: { ...query } }),
    get,
    ops: async (run, limit) => {
      const options = { ...read, query: { limit } };
      return (await call<Page<RunOp>>('GET', `/api/sync/runs/${at(run)}/ops`, options)).items;
    },
    approve: (plan) => call('POST', `/api/sync/plans/${at(plan)}/approve`, once),
    wait: (run, options) => waitForRun(() => get(run), options),
  };
}

async function waitForRun(get: () => Promise<Run>, options: WaitOptions = {}): Promise<Run> {
  const { timeoutMs = DEFAULT_WAIT_MS, pollMs = DEFAULT_POLL_MS, onProgress } = options;
  const startedAt = performance.now();
  for (;;) {
    const run = await get();
    onProgress?.(run);
    if (run.status !== 'running') return run;
    if (performance.now() - startedAt > timeoutMs) {
      const detail = `Run ${run.id} is still running after ${timeoutMs} ms.`;
      throw new SyncError(detail, { code: 'TIMEOUT', status: 0 });
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Calls about conflicts. */
export function conflictCalls({ call }: Transport): ConflictCalls {
  const path = (conflict: string): string => `/api/sync/conflicts/${at(conflict)}`;
  return {
    list: (query) => call('GET', '/api/sync/conflicts', { ...read, query: { ...query } }),
    get: (conflict) => call('GET', path(conflict), read),
    resolve: (conflict, resolution) =>
      call('POST', `${path(conflict)}/resolve`, { ...once, body: resolution }),
  };
}
