/** The client's `links`, `runs` and `conflicts`. Links are named by id or name. */
import type {
  AwaitedWrite,
  BulkResolution,
  BulkResult,
  Conflict,
  Link,
  LinkPatch,
  LinkStatus,
  NewLink,
  Page,
  Plan,
  QuarantineChange,
  QuarantineChoice,
  QuarantinedItem,
  RemovedLink,
  Resolution,
  Run,
  RunOp,
  StartedRun,
  WriteOutcome,
} from '../api/contract.ts';
import { SyncError, type ClientErrorCode } from './sync-error.ts';
import type { Transport } from './transport.ts';

export interface PageQuery {
  readonly limit?: number;
  readonly cursor?: string;
}

export interface LinkCalls {
  create(link: NewLink): Promise<Link>;
  /** All links by name, page after page. */
  list(): Promise<readonly Link[]>;
  /** One page of them. */
  page(query?: PageQuery): Promise<Page<Link>>;
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
  /** Tries items set aside now instead of when their back-off is over. */
  retryQuarantined(link: string, choice: QuarantineChoice): Promise<QuarantineChange>;
  /** Makes them ordinary items again: that they failed is forgotten. */
  releaseQuarantined(link: string, choice: QuarantineChoice): Promise<QuarantineChange>;
}

export interface WaitOptions {
  /** Give up after this long; default 10 minutes. */
  readonly timeoutMs?: number;
  /** Look this often; default 200 ms. */
  readonly pollMs?: number;
  readonly onProgress?: (run: Run) => void;
}

export interface OpsQuery {
  readonly limit?: number;
  readonly cursor?: string;
  /** Adds to each op what it changes, as a JSON Patch. */
  readonly diff?: boolean;
}

export interface PlanOptions extends Pick<WaitOptions, 'timeoutMs' | 'pollMs'> {
  readonly reason?: string;
}

export interface RunCalls {
  /** Asks for a run; joins one that waits already. */
  start(link: string, reason?: string): Promise<StartedRun>;
  /** Asks for an audit: reads both sides anew, compares, brings together what differs. */
  audit(link: string): Promise<StartedRun>;
  list(link: string, query?: PageQuery): Promise<Page<Run>>;
  get(run: string): Promise<Run>;
  /** What the run wrote or, when parked, would write: the first `limit` ops. */
  ops(run: string, query?: OpsQuery): Promise<readonly RunOp[]>;
  /**
   * Makes a plan without writing anything, also on a paused or parked link; resolves when it is there.
   * @throws SyncError the code the dry run failed with; TIMEOUT
   */
  plan(link: string, options?: PlanOptions): Promise<Plan>;
  /** A plan with its first ops; more of them with `cursor`. */
  getPlan(plan: string, query?: OpsQuery): Promise<Plan>;
  /** Puts back what a run wrote, as far as it is still there. */
  undo(run: string, reason?: string): Promise<StartedRun>;
  /** Executes exactly the plan of a dry run or of a parked run. */
  approve(plan: string): Promise<StartedRun>;
  /** Resolves once the run is settled, parked, planned or failed. @throws SyncError TIMEOUT */
  wait(run: string, options?: WaitOptions): Promise<Run>;
  /** Waits on the server, at most 30 s, for what becomes of exactly this write on this link. */
  waitForWrite(write: AwaitedWrite): Promise<WriteOutcome>;
}

export interface ConflictCalls {
  list(
    query?: PageQuery & { readonly linkId?: string; readonly status?: Conflict['status'] },
  ): Promise<Page<Conflict>>;
  get(conflict: string): Promise<Conflict>;
  /** @throws SyncError CONFLICT_MOVED; its `problem.conflict` is the conflict as it is now */
  resolve(conflict: string, resolution: Resolution): Promise<Conflict>;
  /** Many of one link, a page at a time; with `preview` only shown. */
  resolveMany(resolution: BulkResolution): Promise<BulkResult>;
}

/** A dry run that took too long for one answer. */
interface PendingPlan {
  readonly planId: string;
}

const read = { isRepeatable: true } as const;
/** Doing these twice leaves the same state. */
const repeatable = { isRepeatable: true } as const;
const once = { isRepeatable: false } as const;

/** Most rows the server gives at once. */
const MAX_PAGE = 1_000;

const at = (part: string): string => encodeURIComponent(part);

/** Calls about links. */
export function linkCalls({ call }: Transport): LinkCalls {
  const path = (link: string, tail = ''): string => `/api/sync/links/${at(link)}${tail}`;
  const page = (query?: PageQuery): Promise<Page<Link>> =>
    call('GET', '/api/sync/links', { ...read, query: { ...query } });
  return {
    create: (link) => call('POST', '/api/sync/links', { ...once, body: link }),
    async list() {
      const links: Link[] = [];
      for (let cursor: string | null | undefined; cursor !== null;) {
        const next: Page<Link> = await page({ limit: MAX_PAGE, ...(cursor && { cursor }) });
        links.push(...next.items);
        cursor = next.nextCursor;
      }
      return links;
    },
    page,
    get: (link) => call('GET', path(link), read),
    patch: (link, changes) => call('PATCH', path(link), { ...repeatable, body: changes }),
    remove: (link) => call('DELETE', path(link), once),
    pause: (link) => call('POST', path(link, '/pause'), repeatable),
    resume: (link) => call('POST', path(link, '/resume'), repeatable),
    reset: (link) => call('POST', path(link, '/reset'), once),
    status: (link) => call('GET', path(link, '/status'), read),
    quarantined: async (link) =>
      (await call<Page<QuarantinedItem>>('GET', path(link, '/quarantined'), read)).items,
    retryQuarantined: (link, choice) =>
      call('POST', path(link, '/quarantine/retry'), { ...repeatable, body: choice }),
    releaseQuarantined: (link, choice) =>
      call('POST', path(link, '/quarantine/release'), { ...repeatable, body: choice }),
  };
}

const DEFAULT_WAIT_MS = 600_000;
const DEFAULT_POLL_MS = 200;

/** Calls about runs and plans. */
export function runCalls({ call }: Transport): RunCalls {
  const get = (run: string): Promise<Run> => call('GET', `/api/sync/runs/${at(run)}`, read);
  const ofLink = (link: string): string => `/api/sync/links/${at(link)}/runs`;
  const getPlan = (plan: string, query?: OpsQuery): Promise<Plan> =>
    call('GET', `/api/sync/plans/${at(plan)}`, { ...read, query: { ...query } });
  return {
    // Asking again joins the run that waits, so a lost answer may be asked for twice.
    start: (link, reason) =>
      call('POST', ofLink(link), { ...repeatable, body: reason === undefined ? {} : { reason } }),
    audit: (link) => call('POST', `/api/sync/links/${at(link)}/audits`, repeatable),
    list: (link, query) => call('GET', ofLink(link), { ...read, query: { ...query } }),
    get,
    ops: async (run, query) => {
      const options = { ...read, query: { ...query } };
      return (await call<Page<RunOp>>('GET', `/api/sync/runs/${at(run)}/ops`, options)).items;
    },
    async plan(link, { reason, ...waiting } = {}) {
      const path = `/api/sync/links/${at(link)}/plans`;
      const body = reason === undefined ? {} : { reason };
      const made = await call<Plan | PendingPlan>('POST', path, { ...repeatable, body });
      if ('ops' in made) return made;
      const run = await waitForRun(() => get(made.planId), waiting);
      if (run.error) throw failureOf(run.error);
      return getPlan(made.planId);
    },
    getPlan,
    undo: (run, reason) =>
      call('POST', `/api/sync/runs/${at(run)}/undo`, {
        ...once,
        body: reason === undefined ? {} : { reason },
      }),
    approve: (plan) => call('POST', `/api/sync/plans/${at(plan)}/approve`, once),
    wait: (run, options) => waitForRun(() => get(run), options),
    waitForWrite: (write) =>
      call('POST', '/api/sync/wait', { ...read, body: write, extraMs: write.timeoutMs ?? 10_000 }),
  };
}

/** What a dry run failed with, as the call itself would have. */
function failureOf({ code, detail }: NonNullable<Run['error']>): SyncError {
  return new SyncError(detail, { code: code as ClientErrorCode, status: 0 });
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
    // Once more, it meets only what is still open.
    resolveMany: (resolution) =>
      call('POST', '/api/sync/conflicts/resolve', { ...repeatable, body: resolution }),
  };
}
