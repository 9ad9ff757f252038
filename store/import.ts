/**
 * Imports versions that were exported, from this store or another. They keep their numbers and times
 * where the numbers are free; a number that is taken is never given again, so what must win over it
 * becomes a new version. Each key is written whole, through the one way versions come into being: the
 * change feed, the links and the search learn of it. A line that cannot be taken is told, and costs
 * no other.
 */
import type { Clock } from '../domain/clock.ts';
import type { Caller, ChangeType, DeleteReason } from '../domain/context.ts';
import { AppError, toAppError, type ErrorCode } from '../domain/errors.ts';
import { hashText, type Hash } from '../domain/hash.ts';
import type { ContextKey } from '../domain/ids.ts';
import type { Json, JsonObject } from '../domain/json.ts';
import { recordAudit } from './audit.ts';
import type { Bodies, DraftBody } from './crypto/bodies.ts';
import type { Database } from './database.ts';
import { writeGroups } from './import-groups.ts';
import { createTaken, type Taken, type TakenKey } from './import-taken.ts';

/** `skip` leaves contexts alone that are there; `newer` compares the times of the last change. */
export type ImportMode = 'skip' | 'overwrite' | 'newer';

/** One version as a line says it. */
export interface ImportVersion {
  /** From 1. */
  readonly line: number;
  readonly key: ContextKey;
  readonly version: number;
  readonly changeType: ChangeType;
  readonly reason: DeleteReason | null;
  readonly kind: string;
  readonly source: string | null;
  readonly parentId: string | null;
  readonly sessionId: string | null;
  readonly agentId: string | null;
  readonly tags: readonly string[];
  readonly metadata: JsonObject;
  readonly encrypted: boolean;
  /** Undefined: by size. */
  readonly compressed: boolean | undefined;
  /** SHA-256 of the canonical JSON; checked where it is said. */
  readonly hash: string | undefined;
  readonly createdAt: Date;
  readonly createdBy: string | null;
  readonly updatedAt: Date;
  readonly updatedBy: string | null;
  readonly expiresAt: Date | null;
  /** Undefined: this version is a delete. */
  readonly data: Json | undefined;
}

/** A line that could not be read, and why. */
export interface ImportFault {
  readonly line: number;
  readonly code: ErrorCode;
  readonly detail: string;
}

export interface ImportResult {
  readonly imported: number;
  readonly skipped: number;
  readonly failed: number;
  /** The first ones; `failed` counts them all. */
  readonly errors: readonly ImportFault[];
}

export interface Importer {
  /**
   * What was imported before it throws stays, and may be imported again.
   * @throws AppError UNAVAILABLE, or why no more lines came; extra: `imported`, `skipped`, `failed`
   */
  import(
    caller: Caller,
    mode: ImportMode,
    lines: AsyncIterable<ImportVersion | ImportFault>,
  ): Promise<ImportResult>;
}

export interface ImporterDeps {
  readonly database: Database;
  readonly clock: Clock;
  readonly bodies: Bodies;
  readonly maxContextBytes: number;
  readonly onCommitted: () => void;
}

/** A version ready to be written. */
export interface Draft extends Omit<ImportVersion, 'data' | 'hash'> {
  /** Null: a delete. */
  readonly body: DraftBody | null;
  /** Of the plain text; null: a delete. */
  readonly hash: Hash | null;
}

/** Versions of one key, in order. */
export interface DraftGroup {
  readonly key: ContextKey;
  readonly drafts: Draft[];
  /** The versions before these were written a moment ago, by this very import. */
  readonly isContinued: boolean;
}

/** Told for each version of a group: what became of it. */
export interface GroupOutcome {
  readonly imported: number;
  readonly skipped: number;
  readonly faults: readonly ImportFault[];
  /** How keys stand that were written; only with `skip`. */
  readonly taken?: ReadonlyMap<ContextKey, TakenKey>;
}

const MAX_ERRORS = 100;
/** Bytes and versions that are written together, but for a key that has more. */
const MAX_BATCH_BYTES = 8 * 1024 * 1024;
const MAX_BATCH_VERSIONS = 500;

export function createImporter(deps: ImporterDeps): Importer {
  const { database, clock, onCommitted } = deps;

  async function writeAll(
    { caller, mode, taken }: { caller: Caller; mode: ImportMode; taken: Taken },
    groups: readonly DraftGroup[],
  ): Promise<GroupOutcome> {
    const on = { caller, mode, taken, bodies: deps.bodies };
    const write = async (some: readonly DraftGroup[]): Promise<GroupOutcome> => {
      const outcome = await database.withTenant(caller.tenant, (tx) =>
        writeGroups({ ...on, tx, at: new Date(clock.now()) }, some),
      );
      for (const [key, state] of outcome.taken ?? []) taken.note(key, state);
      return outcome;
    };
    try {
      return await write(groups);
    } catch (error) {
      if (isOut(error)) throw error;
      // One of them is at fault: each for itself, so that it costs the others nothing.
      const outcomes: GroupOutcome[] = [];
      for (const group of groups) outcomes.push(await write([group]).catch(failureOf(group)));
      return sumOf(outcomes);
    } finally {
      onCommitted();
    }
  }

  return {
    async import(caller, mode, lines) {
      const tally = createTally();
      const taken = createTaken();
      let wasTaken = false;
      let fault: AppError | null = null;
      try {
        for await (const [first, ...others] of batchesOf(lines, deps, tally)) {
          // What was left alone a moment ago is decided anew for what follows of it.
          const begun = { ...first!, isContinued: first!.isContinued && wasTaken };
          const outcome = await writeAll({ caller, mode, taken }, [begun, ...others]);
          wasTaken = outcome.imported > 0;
          tally.add(outcome);
        }
      } catch (error) {
        fault = withCounts(toAppError(error), tally.result());
        if (isOut(error)) throw fault;
      }
      const result = tally.result();
      const act = { action: 'contexts.import', target: mode, detail: countsOf(result) };
      await database.withTenant(caller.tenant, (tx) => recordAudit(tx, caller, act));
      if (fault !== null) throw fault;
      return result;
    },
  };
}

function countsOf({ imported, skipped, failed }: ImportResult) {
  return { imported, skipped, failed };
}

/** An import that broke off says how far it came. */
function withCounts(error: AppError, result: ImportResult): AppError {
  const { code, message, retryable, cause, errors, extra } = error;
  const detail = `${message} Versions imported before: ${result.imported}.`;
  return new AppError(code, detail, {
    retryable,
    cause,
    errors,
    extra: { ...extra, ...countsOf(result) },
  });
}

function isOut(error: unknown): boolean {
  return error instanceof AppError && error.code === 'UNAVAILABLE';
}

function failureOf(group: DraftGroup): (error: unknown) => GroupOutcome {
  return (error) => {
    if (isOut(error)) throw error;
    const code = error instanceof AppError ? error.code : 'INTERNAL';
    // What Postgres says may quote data; only our own words go out.
    const detail = error instanceof AppError ? error.message : 'the database refused this context';
    const faults = group.drafts.map(({ line }) => ({ line, code, detail }));
    return { imported: 0, skipped: 0, faults };
  };
}

function sumOf(outcomes: readonly GroupOutcome[]): GroupOutcome {
  return {
    imported: outcomes.reduce((sum, { imported }) => sum + imported, 0),
    skipped: outcomes.reduce((sum, { skipped }) => sum + skipped, 0),
    faults: outcomes.flatMap(({ faults }) => faults),
  };
}

interface Tally {
  fail(fault: ImportFault): void;
  add(outcome: GroupOutcome): void;
  result(): ImportResult;
}

function createTally(): Tally {
  let [imported, skipped, failed] = [0, 0, 0];
  const errors: ImportFault[] = [];
  const fail = (fault: ImportFault): void => {
    failed += 1;
    if (errors.length < MAX_ERRORS) errors.push(fault);
  };
  return {
    fail,
    add(outcome) {
      imported += outcome.imported;
      skipped += outcome.skipped;
      outcome.faults.forEach(fail);
    },
    result: () => ({
      imported,
      skipped,
      failed,
      errors: errors.sort((a, b) => a.line - b.line),
    }),
  };
}

/**
 * Groups that are written together. A key is split only when it alone is more than one batch holds.
 * Where the lines break off, what came before is given out first.
 */
async function* batchesOf(
  lines: AsyncIterable<ImportVersion | ImportFault>,
  deps: ImporterDeps,
  tally: Tally,
): AsyncGenerator<readonly DraftGroup[]> {
  let groups: DraftGroup[] = [];
  let size = NO_SIZE;
  let fault: AppError | null = null;
  try {
    for await (const line of lines) {
      const draft = await draftOf(line, deps);
      if ('code' in draft) {
        tally.fail(draft);
        continue;
      }
      const group = groups.at(-1);
      const isSameKey = group?.key === draft.key && group.drafts.at(-1)!.version < draft.version;
      if (isFull(size) && (!isSameKey || groups.length === 1)) {
        yield groups;
        groups = [{ key: draft.key, drafts: [draft], isContinued: isSameKey }];
        size = NO_SIZE;
      } else if (isFull(size) && isSameKey) {
        // Its key is written whole, with the next batch.
        yield groups.slice(0, -1);
        group.drafts.push(draft);
        groups = [group];
        size = group.drafts.reduce(grownBy, NO_SIZE);
        continue;
      } else if (isSameKey) group.drafts.push(draft);
      else groups.push({ key: draft.key, drafts: [draft], isContinued: false });
      size = grownBy(size, draft);
    }
  } catch (error) {
    fault = toAppError(error);
  }
  if (groups.length > 0) yield groups;
  if (fault !== null) throw fault;
}

interface Size {
  readonly bytes: number;
  readonly versions: number;
}

const NO_SIZE: Size = { bytes: 0, versions: 0 };

function grownBy({ bytes, versions }: Size, { body }: Draft): Size {
  return { bytes: bytes + (body?.text.length ?? 0), versions: versions + 1 };
}

function isFull({ bytes, versions }: Size): boolean {
  return bytes >= MAX_BATCH_BYTES || versions >= MAX_BATCH_VERSIONS;
}

async function draftOf(
  given: ImportVersion | ImportFault,
  { bodies, maxContextBytes }: ImporterDeps,
): Promise<Draft | ImportFault> {
  if ('code' in given) return given;
  const { data, hash: said, ...facts } = given;
  if (data === undefined) return { ...facts, body: null, hash: null };
  const body = await bodies.draft(data, facts.compressed);
  const { length } = body.text;
  if (length > maxContextBytes) {
    const detail = `data has ${length} bytes, at most ${maxContextBytes} are allowed`;
    return { line: given.line, code: 'CONTEXT_TOO_LARGE', detail };
  }
  const hash = hashText(body.text);
  if (said !== undefined && said !== hash) {
    const detail = '/hash: is not that of `data`; the line was changed or damaged';
    return { line: given.line, code: 'VALIDATION', detail };
  }
  return { ...facts, body, hash };
}
