/**
 * Many operations on contexts in one transaction and a handful of statements, whatever their number.
 * What fails, fails before anything is written, so one bad operation need not spoil the others.
 */
import { AppError } from '../domain/errors.ts';
import type { ContextKey } from '../domain/ids.ts';
import { canonicalJson } from '../domain/json.ts';
import { contextNotFound, envelopeOf, isNotFound } from './context-rows.ts';
import {
  beginWriting,
  draftBody,
  type Writing,
  type WritingDeps,
  type WritingRules,
} from './context-writing.ts';
import type { BatchOperation, BatchOutcome } from './contract.ts';
import type { DraftBody } from './crypto/bodies.ts';
import type { ContextRow } from './write-versions.ts';

/** Bytes of stored data and metadata one batch may read, to answer or to build on; the first may be larger. */
export const MAX_BATCH_READ_BYTES = 32 * 1024 * 1024;

/** Bodies of the operations that carry whole ones, by index; the error where one cannot be. */
export type Drafts = readonly (DraftBody | AppError | null)[];

/** Makes the bodies ready, outside any transaction. */
export async function draftBatch(
  rules: WritingRules,
  operations: readonly BatchOperation[],
): Promise<Drafts> {
  return Promise.all(
    operations.map(async (operation) => {
      const isWhole =
        operation.op === 'store' ||
        (operation.op === 'update' && operation.changeType === 'replace');
      if (!isWhole || operation.data === undefined) return null;
      return draftBody(rules, operation.data, operation.options.compress).catch(asFailure);
    }),
  );
}

export interface Batch {
  readonly atomic: boolean;
  readonly operations: readonly BatchOperation[];
  readonly drafts: Drafts;
}

/** Does it all in the caller's transaction. @throws AppError of an atomic batch's first failure */
export async function runBatch(deps: WritingDeps, batch: Batch): Promise<BatchOutcome[]> {
  const { atomic, operations, drafts } = batch;
  const spend = readBudget();
  const writing = await beginWriting({ ...deps, onRead: spend }, keysOf(operations));
  await preload(writing, operations);
  const outcomes: BatchOutcome[] = [];
  for (const [index, operation] of operations.entries()) {
    try {
      const outcome =
        operation.op === 'get'
          ? await readOne(writing, operation, spend)
          : await writeOne(writing, operation, { draft: drafts[index]!, spend });
      outcomes.push(outcome);
    } catch (error) {
      const failure = asFailure(error);
      if (atomic) throw failedAt(failure, index);
      outcomes.push({ status: 'failed', error: failure });
    }
  }
  await writing.flush();
  return outcomes;
}

function keysOf(operations: readonly BatchOperation[]) {
  const written = new Set<ContextKey>();
  const read = new Set<ContextKey>();
  for (const { op, key } of operations) (op === 'get' ? read : written).add(key);
  return { written: [...written], read: [...read].filter((key) => !written.has(key)) };
}

/** Reads at once what will be answered or built on, as far as the budget goes, and who is above whom. */
async function preload(writing: Writing, operations: readonly BatchOperation[]): Promise<void> {
  const spend = readBudget();
  const keys = new Set<ContextKey>();
  const parents = new Set<string>();
  for (const operation of operations) {
    const row = writing.live(operation.key);
    if (row && readsCurrent(operation) && !keys.has(row.key)) {
      if (isWithin(spend, row.size)) keys.add(row.key);
    }
    const parent = parentOf(operation);
    if (parent !== null && parent !== row?.parent_id) parents.add(parent);
  }
  // One that cannot be opened fails its own operation, when that reads it by itself.
  await writing.preload(keys).catch(asFailure);
  await writing.preloadParents([...parents]);
}

function readsCurrent(operation: BatchOperation): boolean {
  if (operation.op === 'get') return operation.version === undefined;
  if (operation.op !== 'update') return false;
  return operation.changeType !== 'replace' || operation.data === undefined;
}

function parentOf(operation: BatchOperation): string | null {
  return 'options' in operation ? (operation.options.parentId ?? null) : null;
}

async function readOne(
  writing: Writing,
  { key, version }: Extract<BatchOperation, { op: 'get' }>,
  spend: Spend,
): Promise<BatchOutcome> {
  const found = await rowOf(writing, key, version);
  if (found instanceof AppError) return { status: 'missing', error: found };
  const row = found;
  spend(row.size + metadataBytes(row));
  return {
    status: 'found',
    context: { ...envelopeOf(row), data: await writing.valueOf(row) },
  };
}

/** The row asked for, or why there is none. */
async function rowOf(
  writing: Writing,
  key: ContextKey,
  version: number | undefined,
): Promise<ContextRow | AppError> {
  if (version === undefined) return writing.live(key) ?? contextNotFound(key);
  return writing.oldRow(key, version).catch((error: unknown) => {
    if (isNotFound(error)) return error;
    throw error;
  });
}

async function writeOne(
  writing: Writing,
  operation: Exclude<BatchOperation, { op: 'get' }>,
  { draft, spend }: { readonly draft: DraftBody | AppError | null; readonly spend: Spend },
): Promise<BatchOutcome> {
  if (draft instanceof AppError) throw draft;
  switch (operation.op) {
    case 'store':
      return { status: 'stored', ...(await writing.store(operation, draft!)) };
    case 'update':
      // It comes back with the answer, whatever the update itself brings.
      if (operation.options.metadata === undefined)
        spend(metadataBytes(writing.live(operation.key)));
      return { status: 'updated', envelope: await writing.update(operation, draft) };
    case 'delete':
      return { status: 'deleted', version: writing.delete(operation).version };
  }
}

function metadataBytes(row: Pick<ContextRow, 'metadata'> | null): number {
  return row === null || Object.keys(row.metadata).length === 0
    ? 0
    : Buffer.byteLength(canonicalJson(row.metadata));
}

type Spend = (bytes: number) => void;

/** Counts bytes that are read. @throws AppError BATCH_TOO_LARGE beyond the bound, but for the first */
function readBudget(): Spend {
  let spent = 0;
  return (bytes) => {
    if (spent > 0 && spent + bytes > MAX_BATCH_READ_BYTES) {
      throw new AppError(
        'BATCH_TOO_LARGE',
        `the batch reads more than ${MAX_BATCH_READ_BYTES} bytes of stored data; read the rest in another`,
      );
    }
    spent += bytes;
  };
}

function isWithin(spend: Spend, bytes: number): boolean {
  try {
    spend(bytes);
    return true;
  } catch {
    return false;
  }
}

/** What fails one operation; anything else is no fault of it and fails the whole batch. */
function asFailure(error: unknown): AppError {
  if (error instanceof AppError && !error.retryable && error.code !== 'INTERNAL') return error;
  throw error;
}

function failedAt(error: AppError, failedIndex: number): AppError {
  const { code, message, errors, extra, cause } = error;
  return new AppError(code, message, { errors, cause, extra: { ...extra, failedIndex } });
}
