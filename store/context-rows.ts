/** What the rows of contexts mean: envelopes, options, and whether a context is still there. */
import type { ContextEnvelope, ContextOptions, VersionRow } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import type { Hash } from '../domain/hash.ts';
import type { ContextKey } from '../domain/ids.ts';
import {
  isSealed,
  type ContextRow,
  type VersionFacts,
  type VersionWrite,
} from './write-versions.ts';

/** Seconds a context lives when its writer said nothing (contract 06, `ttl`). */
export const DEFAULT_TTL_S = 86_400;
const DEFAULT_KIND = 'json';

/** When a write happens, and how long what it writes lives unless it says so (s; null: for ever). */
export interface WriteTime {
  readonly at: Date;
  readonly defaultTtlS: number | null;
}

/** `store` sets every option anew; what is not named gets its default. */
export function factsOf(options: ContextOptions, { at, defaultTtlS }: WriteTime): VersionFacts {
  return {
    kind: options.kind ?? DEFAULT_KIND,
    source: options.source ?? null,
    parent_id: options.parentId ?? null,
    session_id: options.sessionId ?? null,
    agent_id: options.agentId ?? null,
    tags: [...(options.tags ?? [])],
    metadata: options.metadata ?? {},
    compress: options.compress ?? null,
    expires_at: expiryOf(options.ttl === undefined ? defaultTtlS : options.ttl, at),
  };
}

/** `update` keeps what it does not name, the expiry included. */
export function factsOver(live: ContextRow, options: ContextOptions, at: Date): VersionFacts {
  const kept = <T>(named: T | undefined, current: T): T => (named === undefined ? current : named);
  return {
    kind: kept(options.kind, live.kind),
    source: kept(options.source, live.source),
    parent_id: kept(options.parentId, live.parent_id),
    session_id: kept(options.sessionId, live.session_id),
    agent_id: kept(options.agentId, live.agent_id),
    tags: [...kept(options.tags, live.tags)],
    metadata: kept(options.metadata, live.metadata),
    compress: kept(options.compress, live.compress),
    expires_at: options.ttl === undefined ? live.expires_at : expiryOf(options.ttl, at),
  };
}

/**
 * `rollback` keeps the options as they are, on a deleted context as they were. An expiry that passed
 * while it was deleted begins anew: what is brought back on purpose must not be gone at once.
 */
export function factsKept(row: ContextRow, { at, defaultTtlS }: WriteTime): VersionFacts {
  const isOver = row.expires_at !== null && row.expires_at <= at;
  return {
    ...factsOver(row, {}, at),
    ...(isOver ? { expires_at: expiryOf(defaultTtlS, at) } : {}),
  };
}

function expiryOf(ttlS: number | null, at: Date): Date | null {
  return ttlS === null ? null : new Date(at.getTime() + ttlS * 1000);
}

/** Whether a context is there: neither deleted nor over. */
export function isLive(row: ContextRow, at: Date): boolean {
  return !row.deleted && !isExpired(row, at);
}

/** Whether a context's time is over, swept or not. One that was deleted before keeps its history. */
export function isExpired(row: ContextRow, at: Date): boolean {
  if (row.deleted) return row.delete_reason === 'ttl';
  return row.expires_at !== null && row.expires_at <= at;
}

/** A row as everybody else knows it. The row must not be that of a delete. */
export function envelopeOf(row: ContextRow): ContextEnvelope {
  return {
    key: row.key,
    version: row.version,
    hash: row.hash as Hash,
    kind: row.kind,
    source: row.source,
    parentId: row.parent_id,
    sessionId: row.session_id,
    agentId: row.agent_id,
    tags: row.tags,
    metadata: row.metadata,
    encrypted: row.encrypted,
    compressed: row.compressed,
    size: row.size,
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    updatedAt: row.updated_at.toISOString(),
    updatedBy: row.updated_by,
    expiresAt: row.expires_at?.toISOString() ?? null,
  };
}

/** The context's row once this version is written. */
export function rowAfter(write: VersionWrite, at: Date): ContextRow {
  return {
    ...write.facts,
    tags: [...write.facts.tags],
    key: write.key,
    version: write.previousVersion + 1,
    hash: write.body?.hash ?? null,
    encrypted: isSealed(write),
    compressed: write.body?.codec === 'gzip',
    size: write.body?.size ?? 0,
    created_at: write.createdAt,
    created_by: write.createdBy,
    updated_at: at,
    updated_by: write.changedBy,
    deleted: write.body === null,
    delete_reason: write.reason,
  };
}

/** A row of the history, as it is listed. */
export interface VersionDbRow {
  readonly version: number;
  readonly hash: Hash | null;
  readonly change_type: VersionRow['changeType'];
  readonly reason: VersionRow['reason'];
  readonly changed_by: string | null;
  readonly changed_at: Date;
  readonly size: number;
}

export function versionRowOf(row: VersionDbRow): VersionRow {
  return {
    version: row.version,
    hash: row.hash,
    changeType: row.change_type,
    changedBy: row.changed_by,
    changedAt: row.changed_at.toISOString(),
    size: row.size,
    reason: row.reason,
  };
}

export function contextNotFound(key: ContextKey): AppError {
  return new AppError('CONTEXT_NOT_FOUND', `There is no context \`${key}\`.`);
}

export function versionNotFound(key: ContextKey, version: number, why = ''): AppError {
  const detail = `\`${key}\` has no version ${version}${why === '' ? '' : ` ${why}`}.`;
  return new AppError('VERSION_NOT_FOUND', detail);
}

/** Whether a context, or a version of it, is not there. */
export function isNotFound(error: unknown): error is AppError {
  if (!(error instanceof AppError)) return false;
  return error.code === 'CONTEXT_NOT_FOUND' || error.code === 'VERSION_NOT_FOUND';
}

/** @throws AppError VERSION_CONFLICT when the current version (0: none) is another */
export function requireVersion(live: ContextRow | null, ifVersion: number | undefined): void {
  const currentVersion = live?.version ?? 0;
  if (ifVersion === undefined || ifVersion === currentVersion) return;
  const detail =
    live === null
      ? `There is no such context, so it has no version ${ifVersion}.`
      : `The current version is ${currentVersion}, not ${ifVersion}.`;
  throw new AppError('VERSION_CONFLICT', detail, { extra: { currentVersion } });
}
