/** Decides and writes what an import brings for some keys, in one transaction. See ./import.ts. */
import type { Caller } from '../domain/context.ts';
import { AppError } from '../domain/errors.ts';
import type { ContextKey } from '../domain/ids.ts';
import { selectVersions } from './context-reads.ts';
import { isLive } from './context-rows.ts';
import type { Bodies } from './crypto/bodies.ts';
import type { Transaction } from './database.ts';
import type { Draft, DraftGroup, GroupOutcome, ImportFault, ImportMode } from './import.ts';
import type { Taken, TakenKey } from './import-taken.ts';
import { loadAncestors, requireNoCycle } from './parents.ts';
import {
  lockContexts,
  writeVersions,
  type ContextRow,
  type VersionWrite,
} from './write-versions.ts';

export interface GroupWriting {
  readonly tx: Transaction;
  readonly caller: Caller;
  readonly mode: ImportMode;
  readonly bodies: Bodies;
  readonly at: Date;
  /** What this import has written before; only read here. */
  readonly taken: Pick<Taken, 'get'>;
}

/** A version that will be written, under this number. */
interface Chosen {
  readonly draft: Draft;
  readonly version: number;
}

/** Writes what wins over what is there. Nothing of it depends on an earlier try. */
export async function writeGroups(
  on: GroupWriting,
  given: readonly DraftGroup[],
): Promise<GroupOutcome> {
  const groups = on.mode === 'skip' ? merged(given) : given;
  const rows = await lockContexts(
    on.tx,
    groups.map(({ key }) => key),
  );
  const states = new Map(rows);
  const chosen: (readonly Chosen[])[] = [];
  const older = await withFreeNumbers(on, groups, rows);
  let skipped = countOf(given) - older.length;
  for (const group of groups) {
    const wins = choose(group, states.get(group.key) ?? null, on);
    skipped -= wins.length;
    if (wins.length === 0) continue;
    chosen.push(wins);
    // The same key may come again, in a file put together from two.
    states.set(group.key, rowOf(wins.at(-1)!));
  }
  const faults: ImportFault[] = [];
  const sound = await withSoundParents(on, { chosen, rows, faults });
  const history = await writesOf(on, older, faults);
  const writes: VersionWrite[] = [];
  for (const wins of sound) writes.push(...(await writesOf(on, wins, faults)));
  const all = [...history.map((write) => ({ ...write, isLoser: true })), ...asHistory(writes)];
  await writeVersions(on.tx, all, on.at);
  const counts = { imported: all.length, skipped, faults };
  // Nobody asks for it with another mode.
  if (on.mode !== 'skip') return counts;
  const taken = new Map(chosen.map((wins) => [draftOf(wins).key, takenOf(on, wins, rows)]));
  return { ...counts, taken };
}

/** One group per key, its versions in order; of two lines with one number the first counts. */
function merged(groups: readonly DraftGroup[]): readonly DraftGroup[] {
  const byKey = new Map<ContextKey, DraftGroup>();
  for (const group of groups) {
    const known = byKey.get(group.key);
    const numbers = new Set(known?.drafts.map(({ version }) => version));
    const drafts = group.drafts.filter(({ version }) => !numbers.has(version));
    byKey.set(group.key, { ...group, ...known, drafts: [...(known?.drafts ?? []), ...drafts] });
  }
  const inOrder = (a: Draft, b: Draft): number => a.version - b.version;
  return [...byKey.values()].map((group) => ({ ...group, drafts: group.drafts.sort(inOrder) }));
}

const countOf = (groups: readonly DraftGroup[]): number =>
  groups.reduce((sum, { drafts }) => sum + drafts.length, 0);

/** How this import left the row, unless somebody else has written it since. */
function ownOf({ mode, taken }: GroupWriting, row: ContextRow | null): TakenKey | null {
  const own = mode === 'skip' && row !== null ? taken.get(row.key) : undefined;
  return own && own.current === row!.version ? own : null;
}

function takenOf(
  on: GroupWriting,
  wins: readonly Chosen[],
  rows: ReadonlyMap<ContextKey, ContextRow>,
): TakenKey {
  const { draft, version } = wins.at(-1)!;
  const row = rows.get(draft.key) ?? null;
  const own = ownOf(on, row);
  const last = Math.max(draft.version, own?.last ?? 0);
  return { before: own?.before ?? row?.version ?? 0, last, current: version };
}

/** Versions that come after later ones of the same import, and whose numbers are free: history. */
async function withFreeNumbers(
  on: GroupWriting,
  groups: readonly DraftGroup[],
  rows: ReadonlyMap<ContextKey, ContextRow>,
): Promise<readonly Chosen[]> {
  const older = groups.flatMap(({ key, drafts }) => {
    const row = rows.get(key) ?? null;
    const before = ownOf(on, row)?.before ?? Infinity;
    return drafts.filter(({ version }) => version > before && version < row!.version);
  });
  if (older.length === 0) return [];
  const kept = new Set((await selectVersions(on.tx, older)).map(numberOf));
  return older
    .filter((draft) => !kept.has(numberOf(draft)))
    .map((draft) => ({ draft, version: draft.version }));
}

const numberOf = ({ key, version }: Pick<Draft, 'key' | 'version'>): string => `${version} ${key}`;

/** Versions of a key that are to be written; none when the context stays as it is. */
function choose(group: DraftGroup, row: ContextRow | null, on: GroupWriting): readonly Chosen[] {
  const { mode, at } = on;
  const last = group.drafts.at(-1)!;
  const live = row !== null && isLive(row, at);
  const own = ownOf(on, row);
  const isOurs = own !== null || (mode !== 'skip' && group.isContinued);
  if (row !== null && !isOurs && !wins(last, row, { mode, live })) return [];
  const current = row?.version ?? 0;
  const fresh = group.drafts.filter(({ version }) => version > current);
  if (fresh.length > 0) return fresh.map((draft) => ({ draft, version: draft.version }));
  if (own && last.version <= own.last) return [];
  // Its number is taken: version numbers of a key never repeat.
  const isThere = isSameState(last, row!) || (last.body === null && !live);
  return isThere ? [] : [{ draft: last, version: current + 1 }];
}

function wins(
  last: Draft,
  row: ContextRow,
  { mode, live }: { readonly mode: ImportMode; readonly live: boolean },
): boolean {
  if (mode === 'skip') return !live;
  if (mode === 'overwrite') return true;
  const newerMs = last.updatedAt.getTime() - row.updated_at.getTime();
  return newerMs > 0 || (newerMs === 0 && last.version > row.version);
}

function isSameState({ body, hash, updatedAt, encrypted }: Draft, row: ContextRow): boolean {
  if ((body === null) !== row.deleted) return false;
  if (updatedAt.getTime() !== row.updated_at.getTime()) return false;
  if (body === null) return true;
  // The name of a sealed body says nothing about its content.
  return encrypted ? row.encrypted && row.size === body.text.length : row.hash === hash;
}

/** What matters of the row once these are written, to those that follow in the same transaction. */
function rowOf({ draft, version }: Chosen): ContextRow {
  return {
    ...factsOf(draft),
    key: draft.key,
    version,
    hash: draft.hash,
    encrypted: draft.encrypted,
    compressed: draft.compressed ?? false,
    size: draft.body?.text.length ?? 0,
    created_at: draft.createdAt,
    created_by: draft.createdBy,
    updated_at: draft.updatedAt,
    updated_by: draft.updatedBy,
    deleted: draft.body === null,
    delete_reason: draft.reason,
  };
}

interface ParentCheck {
  readonly chosen: readonly (readonly Chosen[])[];
  readonly rows: ReadonlyMap<string, ContextRow>;
  readonly faults: ImportFault[];
}

const draftOf = (wins: readonly Chosen[]): Draft => wins.at(-1)!.draft;

/**
 * Leaves out keys that would be their own ancestors, and tells so. Judged by how all will stand in the
 * end, so that the order of the lines does not matter; where one is left out, its key keeps its parent.
 */
async function withSoundParents(
  { tx }: GroupWriting,
  { chosen, rows, faults }: ParentCheck,
): Promise<readonly (readonly Chosen[])[]> {
  const parentNow = (key: string): string | null | undefined => rows.get(key)?.parent_id;
  const isNew = ({ key, parentId }: Draft): boolean =>
    parentId !== null && parentId !== parentNow(key);
  const drafts = chosen.map(draftOf);
  if (!drafts.some(isNew)) return chosen;
  const concerned = drafts.flatMap(({ key, parentId }) => [parentId, parentNow(key) ?? null]);
  const loaded = await loadAncestors(
    tx,
    concerned.filter((parent) => parent !== null),
  );
  const sound = new Set(chosen);
  const picture = new Map([...loaded, ...drafts.map((draft) => placeOf(draft))]);
  const refuse = (wins: readonly Chosen[], { code, message: detail }: AppError): void => {
    for (const { draft } of wins) faults.push({ line: draft.line, code, detail });
    sound.delete(wins);
    // The same key may have come before, in a file put together from two.
    const { key } = draftOf(wins);
    const before = [...sound].map(draftOf).findLast((draft) => draft.key === key);
    const parent = before ? before.parentId : parentNow(key);
    if (parent === undefined) picture.delete(key);
    else picture.set(key, parent);
  };
  // What a refusal brings back may close a cycle with what was found sound before it. Those on a cycle
  // go first: whoever is only below one is sound without it.
  const sweep = (isSuspect: (key: string, picture: Picture) => boolean): boolean => {
    const before = sound.size;
    for (const wins of sound) {
      const { key, parentId } = draftOf(wins);
      const isMeant = isNew(draftOf(wins)) && picture.get(key) === parentId;
      const error = isMeant && isSuspect(key, picture) ? cycleOf(key, parentId!, picture) : null;
      if (error) refuse(wins, error);
    }
    return sound.size < before;
  };
  while (sweep(isOnCycle) || sweep(() => true));
  return chosen.filter((wins) => sound.has(wins));
}

const placeOf = ({ key, parentId }: Draft): [string, string | null] => [key, parentId];

type Picture = ReadonlyMap<string, string | null>;

function isOnCycle(key: string, picture: Picture): boolean {
  const seen = new Set<string>();
  let at = picture.get(key) ?? null;
  while (at !== null && at !== key && !seen.has(at)) {
    seen.add(at);
    at = picture.get(at) ?? null;
  }
  return at === key;
}

/** What is wrong with a parent; null: nothing. */
function cycleOf(key: ContextKey, parent: string, picture: Picture): AppError | null {
  try {
    requireNoCycle(key, parent, (name) => picture.get(name));
    return null;
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

async function writesOf(
  { tx, caller, bodies }: GroupWriting,
  wins: readonly Chosen[],
  faults: ImportFault[],
): Promise<VersionWrite[]> {
  const writes: VersionWrite[] = [];
  for (const { draft, version } of wins) {
    const { key, encrypted: encrypt, line } = draft;
    const place = { tenant: caller.tenant, key, encrypt };
    try {
      const body = draft.body && (await bodies.finish(tx, draft.body, place));
      writes.push(writeOf(draft, version, body));
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'ENCRYPTION_NOT_CONFIGURED') throw error;
      faults.push({ line, code: error.code, detail: error.message });
    }
  }
  return writes;
}

function writeOf(draft: Draft, version: number, body: VersionWrite['body']): VersionWrite {
  return {
    key: draft.key,
    previousVersion: version - 1,
    body,
    facts: factsOf(draft),
    createdAt: draft.createdAt,
    createdBy: draft.createdBy,
    changeType: draft.changeType,
    reason: draft.reason,
    changedBy: draft.updatedBy,
    changedAt: draft.updatedAt,
    origin: null,
  };
}

function factsOf(draft: Draft): VersionWrite['facts'] {
  return {
    kind: draft.kind,
    source: draft.source,
    parent_id: draft.parentId,
    session_id: draft.sessionId,
    agent_id: draft.agentId,
    tags: [...draft.tags],
    metadata: draft.metadata,
    compress: null,
    expires_at: draft.expiresAt,
  };
}

/** Of several versions of a key the last one is what the context is; the others are its history. */
function asHistory(writes: readonly VersionWrite[]): VersionWrite[] {
  const last = new Map(writes.map((write) => [write.key, write]));
  return writes.map((write) =>
    last.get(write.key) === write ? write : { ...write, isLoser: true },
  );
}
