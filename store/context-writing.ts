/**
 * Writes of contexts under way in one transaction: each step sees what the ones before it did, and
 * all of them reach the database together. A step that throws has done nothing.
 */
import type { Clock } from '../domain/clock.ts';
import type { Caller, ContextEnvelope, ContextOptions } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import type { Hash } from '../domain/hash.ts';
import type { ContextKey } from '../domain/ids.ts';
import type { Json } from '../domain/json.ts';
import { appendJson, mergePatch } from './apply-change.ts';
import {
  contextNotFound,
  envelopeOf,
  factsKept,
  factsOf,
  factsOver,
  isExpired,
  isLive,
  requireVersion,
  rowAfter,
} from './context-rows.ts';
import { selectContexts, selectWithData } from './context-reads.ts';
import type { ContextDelete, ContextRollback, ContextUpdate, ContextWrite } from './contract.ts';
import type { Bodies, DraftBody } from './crypto/bodies.ts';
import type { OpenTransaction } from './database.ts';
import { loadAncestors, requireNoCycle } from './parents.ts';
import {
  commitVersions,
  lockContexts,
  writeVersions,
  type ContextRow,
  type VersionWrite,
} from './write-versions.ts';

export interface WritingRules {
  readonly bodies: Bodies;
  /** Bytes of compact JSON one context's data may have. */
  readonly maxContextBytes: number;
  /** Seconds a context lives when its writer said nothing; null: for ever. */
  readonly defaultTtlS: number | null;
}

export interface WritingDeps extends WritingRules {
  readonly tx: OpenTransaction;
  readonly caller: Caller;
  readonly clock: Clock;
  /** Told the size of each body before it is read to build on; it may throw. */
  readonly onRead?: (bytes: number) => void;
}

export interface Writing {
  /** The context as the steps so far leave it; null: there is none, or its time is over. */
  live(key: ContextKey): ContextRow | null;
  store(
    write: ContextWrite,
    draft: DraftBody,
  ): Promise<{ created: boolean; envelope: ContextEnvelope }>;
  /** `draft`: of `data`, for an update that replaces. */
  update(write: ContextUpdate, draft: DraftBody | null): Promise<ContextEnvelope>;
  rollback(write: ContextRollback): Promise<ContextEnvelope>;
  delete(write: ContextDelete): { key: ContextKey; version: number };
  /**
   * Version N of a context as it was.
   * @throws AppError CONTEXT_NOT_FOUND, VERSION_NOT_FOUND (it is not kept, or is a delete)
   */
  oldRow(key: ContextKey, version: number): Promise<ContextRow>;
  /** Reads the data of contexts that are there, all at once. */
  preload(keys: Iterable<ContextKey>): Promise<void>;
  /** Data of a row with some. */
  valueOf(row: ContextRow): Promise<Json>;
  /** Contexts above parents that are about to be set, read at once. */
  preloadParents(parents: readonly string[]): Promise<void>;
  /** Writes what the steps came to. */
  flush(): Promise<void>;
  /** The same, and commits the transaction, for steps that wrote a few contexts. Nothing may follow. */
  commit(): Promise<void>;
}

/** A body made ready outside any transaction. @throws AppError CONTEXT_TOO_LARGE */
export async function draftBody(
  { bodies, maxContextBytes }: WritingRules,
  data: Json,
  compress: boolean | undefined,
): Promise<DraftBody> {
  const draft = await bodies.draft(data, compress);
  const size = draft.text.length;
  if (size <= maxContextBytes) return draft;
  throw new AppError(
    'CONTEXT_TOO_LARGE',
    `data has ${size} bytes, at most ${maxContextBytes} are allowed`,
  );
}

/** Locks the contexts that will be written, looks at those that will only be read, and begins. */
export async function beginWriting(
  deps: WritingDeps,
  keys: { readonly written: readonly ContextKey[]; readonly read?: readonly ContextKey[] },
): Promise<Writing> {
  const { tx, caller, bodies, clock, defaultTtlS } = deps;
  const locked = await lockContexts(tx, keys.written);
  const rows = new Map([...locked, ...(await selectContexts(tx, keys.read ?? []))]);
  // Only now: who waited for a lock writes after the one who held it.
  const at = new Date(clock.now());
  const values = new Map<ContextKey, { hash: Hash; value: Json }>();
  let ancestors: Map<string, string | null> | null = null;
  /** Parents as the steps so far leave them. */
  const moved = new Map<ContextKey, string | null>();
  let pending: VersionWrite[] = [];

  const live = (key: ContextKey): ContextRow | null => {
    const row = rows.get(key);
    return row && isLive(row, at) ? row : null;
  };

  async function load(wanted: readonly ContextRow[]): Promise<Map<Hash, Json>> {
    const refs = wanted.map(({ key, hash, encrypted }) => ({ key, hash: hash!, encrypted }));
    return refs.length === 0 ? new Map() : bodies.load(tx, caller.tenant, refs);
  }

  async function preload(keys: Iterable<ContextKey>): Promise<void> {
    const wanted = [...keys].map(live).filter((row) => row !== null);
    const loaded = await load(wanted);
    for (const { key, hash } of wanted)
      values.set(key, { hash: hash!, value: loaded.get(hash!) as Json });
  }

  async function valueOf(row: ContextRow): Promise<Json> {
    const known = values.get(row.key);
    if (known && known.hash === row.hash) return known.value;
    return (await load([row])).get(row.hash!) as Json;
  }

  function takePending(): VersionWrite[] {
    const last = new Map(pending.map((write) => [write.key, write]));
    const writes = pending.map((write) =>
      last.get(write.key) === write ? write : { ...write, isLoser: true },
    );
    pending = [];
    return writes;
  }

  const flush = (): Promise<void> => writeVersions(tx, takePending(), at);

  /** What was deleted keeps its history, what expired does not. */
  function knownRow(key: ContextKey): ContextRow {
    const row = rows.get(key);
    if (!row || isExpired(row, at)) throw contextNotFound(key);
    return row;
  }

  async function oldRow(key: ContextKey, version: number): Promise<ContextRow> {
    // A version made by an earlier step is not there before it is written.
    if (pending.some((write) => write.key === key)) await flush();
    return { ...knownRow(key), ...(await selectWithData(tx, key, version)) };
  }

  async function preloadParents(parents: readonly string[]): Promise<void> {
    if (parents.length > 0) ancestors = await loadAncestors(tx, parents);
  }

  /** A parent that is named anew is checked; one that stays was, when it was set. */
  async function requireParent(key: ContextKey, { parentId }: ContextOptions): Promise<void> {
    if (typeof parentId !== 'string' || parentId === rows.get(key)?.parent_id) return;
    ancestors ??= await loadAncestors(tx, [parentId]);
    const above = ancestors;
    requireNoCycle(key, parentId, (at) =>
      moved.has(at as ContextKey) ? moved.get(at as ContextKey) : above.get(at),
    );
  }

  /** Takes the next version of the key. */
  function add(
    key: ContextKey,
    version: Pick<VersionWrite, 'body' | 'facts' | 'changeType'> & Partial<VersionWrite>,
  ): ContextRow {
    const current = live(key);
    const write: VersionWrite = {
      key,
      previousVersion: rows.get(key)?.version ?? 0,
      createdAt: current?.created_at ?? at,
      createdBy: current ? current.created_by : caller.actor,
      reason: null,
      changedBy: caller.actor,
      origin: null,
      ...version,
    };
    const row = rowAfter(write, at);
    pending.push(write);
    rows.set(key, row);
    moved.set(key, row.parent_id);
    return row;
  }

  /** What the data becomes. */
  async function changed(
    current: ContextRow,
    data: Json | undefined,
    changeType: ContextUpdate['changeType'],
  ): Promise<Json> {
    if (data !== undefined && changeType === 'replace') return data;
    deps.onRead?.(current.size);
    const base = await valueOf(current);
    if (data === undefined) return base;
    return changeType === 'merge' ? mergePatch(base, data) : appendJson(base, data);
  }

  async function bodyOf(key: ContextKey, draft: DraftBody, encrypt: boolean) {
    return bodies.finish(tx, draft, { tenant: caller.tenant, key, encrypt });
  }

  return {
    live,
    oldRow,
    preload,
    valueOf,
    preloadParents,
    flush,
    commit: () => commitVersions(tx, takePending(), at),

    async store({ key, data, options }, draft) {
      const current = live(key);
      requireVersion(current, options.ifVersion);
      await requireParent(key, options);
      const encrypt = bodies.isSealed(options.encrypt, current?.encrypted ?? null);
      const body = await bodyOf(key, draft, encrypt);
      const changeType = current ? 'update' : 'create';
      const row = add(key, { body, facts: factsOf(options, { at, defaultTtlS }), changeType });
      values.set(key, { hash: body.hash, value: data });
      return { created: current === null, envelope: envelopeOf(row) };
    },

    async update({ key, data, changeType, options, changedBy }, draft) {
      const current = live(key);
      if (!current) throw contextNotFound(key);
      requireVersion(current, options.ifVersion);
      await requireParent(key, options);
      const value = await changed(current, data, changeType);
      // A draft was made before anybody knew what the context remembers.
      const compress = options.compress ?? current.compress ?? undefined;
      const isReady = draft !== null && compress === options.compress;
      const ready = isReady ? draft : await draftBody(deps, value, compress);
      const body = await bodyOf(key, ready, bodies.isSealed(options.encrypt, current.encrypted));
      const row = add(key, {
        body,
        facts: factsOver(current, options, at),
        changeType: changeType === 'replace' ? 'update' : changeType,
        ...(changedBy === undefined ? {} : { changedBy }),
      });
      values.set(key, { hash: body.hash, value });
      return envelopeOf(row);
    },

    async rollback({ key, version, ifVersion }) {
      const row = knownRow(key);
      requireVersion(live(key), ifVersion);
      const old = await oldRow(key, version);
      const draft = await draftBody(deps, await valueOf(old), row.compress ?? undefined);
      // What was sealed once is not written in clear by going back.
      const isSealed = bodies.isSealed(undefined, row.encrypted || old.encrypted);
      const { created_at: createdAt, created_by: createdBy } = row;
      const restored = {
        body: await bodyOf(key, draft, isSealed),
        facts: factsKept(row, { at, defaultTtlS }),
        changeType: 'rollback',
      } as const;
      return envelopeOf(add(key, { ...restored, createdAt, createdBy }));
    },

    delete({ key, ifVersion, reason }) {
      const current = live(key);
      if (!current) throw contextNotFound(key);
      requireVersion(current, ifVersion);
      const row = add(key, {
        body: null,
        facts: current,
        changeType: 'delete',
        reason: reason ?? 'user',
      });
      return { key, version: row.version };
    },
  };
}
