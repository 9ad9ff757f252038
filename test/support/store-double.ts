/**
 * A small in-memory store for tests of the API's translation and validation. It knows versions and
 * links, and no history, expiry or feed order: those are tested on the real store.
 */
import type { ContextEnvelope, Context, ContextOptions } from '../../domain/context.ts';
import { AppError } from '../../domain/errors.ts';
import { hashJson } from '../../domain/hash.ts';
import type { ConflictId, ContextKey, LinkId, RunId } from '../../domain/ids.ts';
import type { Json } from '../../domain/json.ts';
import { NO_COUNTS, type Conflict, type Link, type Run } from '../../domain/link.ts';
import type { LinkStatus, NewLink, QuarantineChange, Store } from '../../store/contract.ts';

const TIME = '2026-11-01T00:00:00.000Z';

export interface StoreDouble extends Store {
  readonly runRows: Map<string, Run>;
  readonly conflictRows: Map<string, Conflict>;
}

/** An empty store. */
export function createStoreDouble(): StoreDouble {
  const links = createLinks();
  const runRows = new Map<string, Run>();
  const conflictRows = new Map<string, Conflict>();
  return {
    contexts: createContexts(),
    search: {
      search: async () => ({
        results: [],
        total: 0,
        totalIsExact: true,
        took: 0,
        nextCursor: null,
      }),
    },
    links,
    runs: {
      request: async (_caller, linkId) => {
        const run = { ...runRow(`run-${runRows.size + 1}`), linkId };
        runRows.set(run.id, run);
        return run;
      },
      requestPlan: async (_caller, linkId) => {
        const id = `plan-${runRows.size + 1}`;
        const run = { ...runRow(id), linkId, mode: 'plan', status: 'planned' } as const;
        runRows.set(run.id, run);
        return run;
      },
      requestUndo: async (_caller, id) => {
        const undone = found(runRows.get(id), 'RUN_NOT_FOUND');
        const run = { ...runRow(`undo-${runRows.size + 1}`), linkId: undone.linkId, undoes: id };
        runRows.set(run.id, run);
        return run;
      },
      plan: async (_caller, id) => ({
        run: found(runRows.get(id), 'PLAN_NOT_FOUND'),
        decisions: [],
      }),
      list: async () => ({ items: [...runRows.values()], nextCursor: null }),
      get: async (_caller, id) => found(runRows.get(id), 'RUN_NOT_FOUND'),
      ops: async (_caller, id) => {
        found(runRows.get(id), 'RUN_NOT_FOUND');
        const op = { op: 'update', side: 'remote', key: 'p/a', reason: 'hub changed' } as const;
        const items = [{ ...op, state: 'planned', before: null, after: { x: -0 } }];
        return { items, nextCursor: null };
      },
      approve: async (_caller, id) => found(runRows.get(id), 'PLAN_NOT_FOUND'),
    },
    conflicts: {
      list: async () => ({ items: [...conflictRows.values()], nextCursor: null }),
      get: async (_caller, id) => found(conflictRows.get(id), 'CONFLICT_NOT_FOUND'),
      resolve: async (_caller, id, { by }) => {
        const conflict = found(conflictRows.get(id), 'CONFLICT_NOT_FOUND');
        return { ...conflict, status: 'resolved', resolvedAt: TIME, resolvedBy: by };
      },
      previewMany: async () => ({ count: 0, items: [], nextCursor: null }),
      resolveMany: async () => ({ count: 0, items: [], nextCursor: null }),
    },
    audits: {
      request: async (_caller, linkId) => {
        const run = { ...runRow(`run-${runRows.size + 1}`), linkId };
        runRows.set(run.id, run);
        return run.id;
      },
      requestDue: async () => 0,
    },
    metrics: { links: async () => ({ links: 0, perLink: [] }) },
    analytics: {
      analyze: async () => ({
        contexts: 0,
        versions: 0,
        bytes: 0,
        sessions: 0,
        agents: 0,
        operations: { create: 0, update: 0, merge: 0, append: 0, rollback: 0, delete: 0 },
        topKeys: [],
        activity: [],
      }),
    },
    idempotency: createAnswers(),
    ...createAccess(),
    rotation: noEncryption(),
    feedWatch: {
      head: async () => '0.0',
      look: async (_tenant, _query, onPage) =>
        onPage({ changes: [], hasHidden: false, snapshot: '1:1:' }),
      read: async () => ({ changes: [], hasHidden: false, snapshot: '1:1:' }),
    },
    waits: {
      outcomeOf: async (_caller, { version }) => ({ outcome: 'accepted', version }),
    },
    exporter: { export: async () => found<never>(undefined, 'NOT_FOUND') },
    importer: { import: async () => found<never>(undefined, 'NOT_FOUND') },
    runRows,
    conflictRows,
    ping: async () => undefined,
    close: async () => undefined,
  };
}

/** There is no master key: the real store's tests are about rotations. */
function noEncryption(): Store['rotation'] {
  const refused = async (): Promise<never> => found<never>(undefined, 'ENCRYPTION_NOT_CONFIGURED');
  return { rotate: refused, status: refused, pending: async () => [], work: refused };
}

/** Nobody has a key or a tenant: the real store's tests are about those. */
function createAccess(): Pick<Store, 'keys' | 'tenants' | 'auditLog'> {
  const none = async () => ({ items: [], nextCursor: null });
  const refused = async (): Promise<never> => found<never>(undefined, 'TENANT_NOT_FOUND');
  return {
    keys: {
      lookup: async () => null,
      ensure: async () => undefined,
      ensureConfigured: async () => true,
      ensureFirst: async () => false,
      create: refused,
      list: none,
      revoke: async () => found<never>(undefined, 'KEY_NOT_FOUND'),
    },
    tenants: { list: none, create: refused, remove: refused },
    auditLog: { list: none },
  };
}

/** Remembers nothing: the real store's tests are about that. */
function createAnswers(): Store['idempotency'] {
  return {
    claim: async (_tenant, { slot }) => ({ status: 'first', slot: { slot, token: slot } }),
    remember: async () => undefined,
    release: async () => undefined,
  };
}

/** @throws AppError ENCRYPTION_NOT_CONFIGURED, as a store does that has no master key */
function refuseToSeal({ encrypt }: ContextOptions): void {
  if (encrypt) found(undefined, 'ENCRYPTION_NOT_CONFIGURED');
}

function createContexts(): Store['contexts'] {
  const rows = new Map<string, Context>();
  const expect = (key: string, ifVersion: number | undefined): void => {
    const currentVersion = rows.get(key)?.version ?? 0;
    if (ifVersion === undefined || ifVersion === currentVersion) return;
    throw new AppError('VERSION_CONFLICT', 'Somebody wrote.', { extra: { currentVersion } });
  };
  const put = (key: ContextKey, data: Json, actor: string | null): ContextEnvelope => {
    const version = (rows.get(key)?.version ?? 0) + 1;
    const envelope = { ...envelopeOf(key, version), hash: hashJson(data), updatedBy: actor };
    rows.set(key, { ...envelope, data });
    return envelope;
  };
  return {
    store: async (caller, { key, data, options }) => {
      refuseToSeal(options);
      expect(key, options.ifVersion);
      return { created: !rows.has(key), envelope: put(key, data, caller.actor) };
    },
    get: async (_caller, key, version) => {
      const row = rows.get(key);
      return row && (version === undefined || version === row.version) ? row : null;
    },
    getVersion: async (_caller, key, version) => {
      const row = found(rows.get(key), 'CONTEXT_NOT_FOUND');
      return found(row.version === version ? row : undefined, 'VERSION_NOT_FOUND');
    },
    update: async (caller, { key, data, options }) => {
      refuseToSeal(options);
      const { data: kept } = found(rows.get(key), 'CONTEXT_NOT_FOUND');
      expect(key, options.ifVersion);
      return put(key, data ?? kept, caller.actor);
    },
    delete: async (_caller, { key, ifVersion }) => {
      const { version } = found(rows.get(key), 'CONTEXT_NOT_FOUND');
      expect(key, ifVersion);
      rows.delete(key);
      return { key, version: version + 1 };
    },
    list: async (_caller, { limit }) => {
      const items = [...rows.values()].slice(0, limit).map(({ data: _data, ...rest }) => rest);
      return { items, nextCursor: null };
    },
    versions: async (_caller, { key }) => {
      found(rows.get(key), 'CONTEXT_NOT_FOUND');
      return { items: [], nextCursor: null };
    },
    changes: async (_caller, { since }) => ({ changes: [], cursor: since ?? 'start' }),
    rollback: async (caller, { key, ifVersion }) => {
      const row = found(rows.get(key), 'CONTEXT_NOT_FOUND');
      expect(key, ifVersion);
      return put(key, row.data, caller.actor);
    },
    batch: async (_caller, { operations }) =>
      operations.map(() => ({
        status: 'missing',
        error: new AppError('CONTEXT_NOT_FOUND', 'It is not there.'),
      })),
    diff: async (_caller, { key, from = 1, to = 2 }) => {
      found(rows.get(key), 'CONTEXT_NOT_FOUND');
      return { from, to, patch: [], delta: null };
    },
  };
}

function createLinks(): Store['links'] {
  const rows = new Map<string, Link>();
  const get = (idOrName: string): Link =>
    found(
      [...rows.values()].find((row) => row.id === idOrName || row.name === idOrName),
      'LINK_NOT_FOUND',
    );
  const put = (link: Link): Link => {
    rows.set(link.id, link);
    return link;
  };
  return {
    create: async (_caller, link) => {
      if ([...rows.values()].some((row) => row.name === link.name)) {
        const errors = [{ pointer: '/name', detail: 'is taken' }];
        throw new AppError('VALIDATION', 'A link of that name exists.', { errors });
      }
      return put(linkRow(`link-${rows.size + 1}`, link));
    },
    list: async (_caller, { limit, cursor = '' }) => {
      const all = [...rows.values()].filter(({ name }) => name > cursor);
      const items = all.sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, limit);
      return { items, nextCursor: all.length > limit ? items.at(-1)!.name : null };
    },
    get: async (_caller, idOrName) => get(idOrName),
    remove: async (_caller, id) => {
      rows.delete(get(id).id);
    },
    patch: async (_caller, id, { conflictFallback, ...changes }) => {
      const link = get(id);
      const fallback = conflictFallback === undefined ? link.conflictFallback : conflictFallback;
      return put({ ...link, ...changes, conflictFallback: fallback });
    },
    pause: async (_caller, id) => put({ ...get(id), state: 'paused' }),
    resume: async (_caller, id) => put({ ...get(id), state: 'active' }),
    reset: async (_caller, id) => put({ ...get(id), epoch: get(id).epoch + 1 }),
    status: async () => STATUS,
    quarantined: async () => [
      {
        key: 'p/bad',
        remoteId: null,
        code: 'ITEM_INVALID',
        detail: 'It has no name.',
        attempts: 2,
        retryAt: TIME,
      },
    ],
    retryQuarantined: async (_caller, id, keys) => tried(get(id), keys),
    releaseQuarantined: async (_caller, id, keys) => tried(get(id), keys),
  };
}

/** Of each link `p/bad` is set aside, and nothing else. */
function tried(_link: Link, keys: readonly string[] | null): QuarantineChange {
  const skipped = (keys ?? []).filter((key) => key !== 'p/bad');
  return { count: (keys ?? ['p/bad']).length - skipped.length, skipped };
}

const STATUS: LinkStatus = {
  state: 'active',
  lagMs: 0,
  lastProvedEqualAt: null,
  proof: null,
  clockSkew: false,
  skewMs: 0,
  lastSettledAt: null,
  items: 0,
  conflicts: 0,
  quarantined: 1,
  held: 0,
  nextRunAt: null,
  guard: null,
};

function found<Row>(row: Row | undefined, code: ConstructorParameters<typeof AppError>[0]): Row {
  if (row === undefined) throw new AppError(code, 'There is no such thing.');
  return row;
}

function envelopeOf(key: ContextKey, version: number): Omit<ContextEnvelope, 'hash'> {
  return {
    key,
    version,
    kind: 'json',
    source: null,
    parentId: null,
    sessionId: null,
    agentId: null,
    tags: [],
    metadata: {},
    encrypted: false,
    compressed: false,
    size: 2,
    createdAt: TIME,
    createdBy: null,
    updatedAt: TIME,
    updatedBy: null,
    expiresAt: null,
  };
}

function linkRow(id: string, link: NewLink): Link {
  return {
    ...link,
    conflictFallback: link.conflictFallback ?? null,
    id: id as LinkId,
    state: 'active',
    guard: null,
    epoch: 1,
    createdAt: TIME,
    updatedAt: TIME,
  };
}

/** A settled run. */
export function runRow(id: string, changes: Partial<Run> = {}): Run {
  return {
    id: id as RunId,
    linkId: 'link-1' as LinkId,
    status: 'settled',
    trigger: 'asked for',
    phases: { observe: 3 },
    counters: { ...NO_COUNTS },
    guard: null,
    error: null,
    mode: 'look',
    undoes: null,
    expiresAt: null,
    dropped: [],
    startedAt: TIME,
    approvedAt: null,
    endedAt: TIME,
    tookMs: 0,
    ...changes,
  };
}

/** An open conflict over one member. */
export function conflictRow(id: string, changes: Partial<Conflict> = {}): Conflict {
  return {
    id: id as ConflictId,
    linkId: 'link-1' as LinkId,
    key: 'p/a' as ContextKey,
    status: 'open',
    reason: 'edit/edit',
    base: { name: 'A', type: 'old' },
    hub: { name: 'A', type: 'hub' },
    remote: { name: 'A', type: 'remote' },
    pointers: ['/type'],
    proposal: { name: 'A', type: 'old' },
    dueAt: null,
    revision: 1,
    createdAt: TIME,
    resolvedAt: null,
    resolvedBy: null,
    ...changes,
  };
}
